"""torchvision's ResNets, the paper's backbones, and their ImageNet weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from picie_core import draws
from picie_core.network import weights
from picie_core.network.pyramid import Network
from picie_core.settings import Settings, SettingsError

if TYPE_CHECKING:
    from torchvision.models import ResNet  # seconds of import, which what builds no network need not wait for

LEVELS = ("layer1", "layer2", "layer3", "layer4")
STRIDES = (4, 8, 16, 32)
_DEPTH = {"res12": 1, "res12_layer2": 2}  # levels of a trunk, where not all


class OfResNet(Network):
    """The levels of a ResNet, of strides 4 to 32.

    Args:
        backbone: without the levels that the trunk does not use.
        settings: see `Network`.
    """

    def __init__(self, backbone: "ResNet", settings: Settings) -> None:
        self.names = LEVELS[: _depth(settings)]
        widths = [_out_channels(getattr(backbone, name)) for name in self.names]
        super().__init__(backbone, widths, STRIDES[: len(widths)], settings)

    def levels(self, images: Tensor) -> Iterator[Tensor]:
        """See `Network`."""
        net: Any = self.backbone
        x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        for name in self.names:
            x = getattr(net, name)(x)
            yield x


def build(settings: Settings) -> OfResNet:
    """The network of a run on a ResNet; see `network.build`."""
    import torchvision

    with draws.by_torch((settings.seed, "network")):
        backbone = getattr(torchvision.models, settings.backbone)(weights=None)
        for part in ("fc", "avgpool", *LEVELS[_depth(settings) :]):
            delattr(backbone, part)
        if settings.sobel:
            backbone.conv1 = _wider(backbone.conv1)
        for conv in (layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)):
            if any(conv.padding):  # a 1x1 convolution has none
                conv.padding_mode = settings.padding
        network = OfResNet(backbone, settings)
    if settings.pretrained:
        trained = imagenet_weights(settings.backbone, settings.weights_file)
        backbone.load_state_dict({n: w for n, w in trained.items() if hasattr(backbone, n.partition(".")[0])})
    return network


def require(settings: Settings) -> None:
    """Raise a `SettingsError` where the ImageNet weights cannot be had; see `imagenet_weights`."""
    imagenet_weights(settings.backbone, settings.weights_file)


def fingerprint(settings: Settings) -> str:
    """ "": torchvision's name of the backbone tells the weights, and a file is held to their hash."""
    return ""


def imagenet_weights(backbone: str, file: Path | None = None) -> dict[str, Tensor]:
    """torchvision's ImageNet weights, downloaded once into torch's hub cache, or read from `file`.

    Raises:
        SettingsError: no network and no file, or a file whose hash is not torchvision's; the message says what to do.
    """
    import torchvision

    url = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"].url
    name = url.rsplit("/", 1)[-1]  # resnet18-f37072fd.pth: the hash stands in the name
    expected = f"torchvision's {name}"
    if file is not None:
        return weights.known(weights.placed(file, "weights_file", expected), name, "weights_file", expected)
    place = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not place.is_file():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(place), hash_prefix=weights.digits(name), progress=False)
        except (OSError, RuntimeError) as error:  # no network (URLError, HTTPError), no place to write; a wrong hash
            raise SettingsError(
                f"pretrained = True: torchvision's ImageNet weights for {backbone} could not be fetched ({error}). "
                f"Place the file {name} (from {url}) at {place}, or name it with weights_file, "
                "or give pretrained=False (-p pretrained=false) to start from random weights, "
                "or backbone=efficientnet_lite0, whose ImageNet weights are installed with the workbook"
            ) from error
    return weights.known(place, name, "pretrained = True", expected)


def _depth(settings: Settings) -> int:
    return _DEPTH.get(settings.trunk, len(LEVELS))


def _wider(conv: nn.Conv2d) -> nn.Conv2d:
    """The first convolution for 5 channels instead of 3, drawn as torchvision draws it."""
    wider = nn.Conv2d(5, conv.out_channels, conv.kernel_size[0], conv.stride[0], conv.padding[0], bias=False)
    nn.init.kaiming_normal_(wider.weight, mode="fan_out", nonlinearity="relu")
    return wider


def _out_channels(level: nn.Module) -> int:
    return [layer for layer in level.modules() if isinstance(layer, nn.BatchNorm2d)][-1].num_features
