"""DeepLabv3 with ResNet-50, the network that COMUS trains on its pseudo-masks."""

import torch
from torch import Tensor, nn

from picie_core import draws
from picie_core.network import weights
from picie_core.settings import Settings

_SETTING = "comus_backbone_place"
_EXPECTED = (
    "the weights of a ResNet-50 under torchvision's names, such as DINO's "
    "(https://dl.fbaipublicfiles.com/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth), "
    "which are the backbone alone and no full checkpoint"
)


class DeepLab(nn.Module):
    """torchvision's `deeplabv3_resnet50` up to its classifier: dilated ResNet-50 (stride 8), pyramid pooling.

    Attributes:
        channels: of the features, 256.
    """

    channels = 256

    def __init__(self) -> None:
        from torchvision.models.segmentation import deeplabv3_resnet50

        super().__init__()
        whole = deeplabv3_resnet50(weights=None, weights_backbone=None)
        self.backbone = whole.backbone
        self.head = nn.Sequential(*list(whole.classifier.children())[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) -> raw features (B, 256, ceil(H / 8), ceil(W / 8))."""
        return self.head(self.backbone(images.contiguous(memory_format=torch.channels_last))["out"])


def fingerprint(settings: Settings) -> str:
    """SHA-256 of the file of weights that the network starts from; "" where they are random.

    Raises:
        SettingsError: the setting names no file.
    """
    if settings.comus_backbone_place is None:
        return ""
    return weights.digest(weights.placed(settings.comus_backbone_place, _SETTING, _EXPECTED))


def build(settings: Settings) -> DeepLab:
    """The network, its weights drawn from the run's seed, the ResNet's read from `comus_backbone_place` if given.

    Raises:
        SettingsError: there is no such file, or it holds the weights of another model.
    """
    with draws.by_torch((settings.seed, "deeplab")):
        found = DeepLab()
    if settings.comus_backbone_place is not None:
        file = weights.placed(settings.comus_backbone_place, _SETTING, _EXPECTED)
        state = weights.read(file, _SETTING, _EXPECTED)
        state = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
        weights.fill(found.backbone, state, file, _SETTING, _EXPECTED)
    return found.to(memory_format=torch.channels_last)
