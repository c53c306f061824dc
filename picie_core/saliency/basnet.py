"""BASNet (Qin et al., CVPR 2019), so that its released weights and those that COMUS used can be loaded.

COMUS's were trained by MaskContrast on masks of DeepUSPS (no labels). A prediction network, which is a ResNet-34
without its first pooling, three stages deeper, with a decoder, makes a map at six scales and one more at the bridge; a
small encoder and decoder refines the finest.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from picie_core import views
from picie_core.network import weights
from picie_core.saliency.interface import Saliency
from picie_core.settings import Settings

SIDE = 256
"""Of the network's input in pixels."""

_EXPECTED = (
    "BASNet's state dict: the basnet.pth of its authors (github.com/xuebinqin/BASNet), or the one trained without "
    "labels that MaskContrast and COMUS name (github.com/wvangansbeke/Unsupervised-Semantic-Segmentation, saliency)"
)
_SETTING = "comus_saliency_place"

# A decoder's stage: channels in and out of its three convolutions, and their dilations.
_STAGES = {
    6: ((1024, 512, 512, 512), (1, 2, 2)),
    5: ((1024, 512, 512, 512), (1, 1, 1)),
    4: ((1024, 512, 512, 256), (1, 1, 1)),
    3: ((512, 256, 256, 128), (1, 1, 1)),
    2: ((256, 128, 128, 64), (1, 1, 1)),
    1: ((128, 64, 64, 64), (1, 1, 1)),
}
_THREE = ("_1", "_m", "_2")  # what the convolutions of a stage are called


class _Stages(nn.Module):
    """A module whose convolutions `convNAME` each have a batch norm `bnNAME`, the names of the released state dict."""

    def add(self, name: str, channels: tuple[int, int], dilation: int = 1) -> None:
        self.add_module(f"conv{name}", nn.Conv2d(*channels, kernel_size=3, padding=dilation, dilation=dilation))
        self.add_module(f"bn{name}", nn.BatchNorm2d(channels[1]))

    def through(self, name: str, x: Tensor, norm: str | None = None) -> Tensor:
        """Convolution, batch norm (that of `norm`, if given) and ReLU."""
        return F.relu(getattr(self, f"bn{norm or name}")(getattr(self, f"conv{name}")(x)))


class Refinement(_Stages):
    """The refinement module: a map of scores (B, 1, H, W) -> what is added to it, (B, 1, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(1, 64, kernel_size=3, padding=1)
        for name in "12345":
            self.add(name, (64, 64))
        for name in ("_d4", "_d3", "_d2", "_d1"):
            self.add(name, (128, 64))
        self.conv_d0 = nn.Conv2d(64, 1, kernel_size=3, padding=1)

    def forward(self, scores: Tensor) -> Tensor:
        """Four levels down, each half the size of the one above, and up again beside them."""
        x, levels = self.conv0(scores), []
        for name in "1234":
            levels.append(self.through(name, x))
            x = _halved(levels[-1])
        x = self.through("5", x)
        for name, level in zip(("_d4", "_d3", "_d2", "_d1"), reversed(levels), strict=True):
            x = self.through(name, torch.cat([_grown(x, 2), level], dim=1))
        return self.conv_d0(x)


class BASNet(_Stages):
    """Normalised images (B, 3, H, W), sides multiples of 32 -> eight maps (B, H, W) in (0, 1), the refined one first,
    then the prediction network's from fine to coarse, that of the bridge last.

    The authors' code normalises what stage 6's third convolution gives with the batch norm of stage 5 (`bn5d_2`),
    COMUS's copy with its own (`bn6d_2`). Which of them a file was trained with shows in it: a batch norm that no batch
    has passed has a running mean of 0. `load` sees to it.

    Attributes:
        borrows: whether stage 6 uses the batch norm of stage 5.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.resnet import BasicBlock, resnet34

        resnet = resnet34(weights=None)
        self.inconv, self.inbn = nn.Conv2d(3, 64, kernel_size=3, padding=1), nn.BatchNorm2d(64)
        self.encoder1, self.encoder2, self.encoder3 = resnet.layer1, resnet.layer2, resnet.layer3
        self.encoder4 = resnet.layer4
        for stage in ("5", "6"):
            for number in "123":
                self.add_module(f"resb{stage}_{number}", BasicBlock(512, 512))
        for name in _THREE:
            self.add("bg" + name, (512, 512), dilation=2)
        for stage, (channels, dilations) in _STAGES.items():
            for name, pair, dilation in zip(_THREE, pairwise(channels), dilations, strict=True):
                self.add(f"{stage}d{name}", pair, dilation)
            self.add_module(f"outconv{stage}", nn.Conv2d(channels[-1], 1, kernel_size=3, padding=1))
        self.outconvb = nn.Conv2d(512, 1, kernel_size=3, padding=1)
        self.refunet = Refinement()
        self.borrows = False

    def forward(self, images: Tensor) -> list[Tensor]:
        """See the class."""
        x, encoded = F.relu(self.inbn(self.inconv(images))), {}
        for stage in range(1, 7):
            if stage <= 4:
                x = getattr(self, f"encoder{stage}")(x)
            else:
                x = _halved(x)
                for number in "123":
                    x = getattr(self, f"resb{stage}_{number}")(x)
            encoded[stage] = x
        for name in _THREE:
            x = self.through("bg" + name, x)
        scores = [_grown(self.outconvb(x), 32)]
        for stage in _STAGES:
            x = torch.cat([x if stage == 6 else _grown(x, 2), encoded[stage]], dim=1)
            for name in _THREE:
                borrowed = "5d_2" if self.borrows and (stage, name) == (6, "_2") else None
                x = self.through(f"{stage}d{name}", x, borrowed)
            scores.append(_grown(getattr(self, f"outconv{stage}")(x), 2 ** (stage - 1)))
        scores.append(scores[-1] + self.refunet(scores[-1]))
        return [torch.sigmoid(each[:, 0]) for each in reversed(scores)]


class Network(Saliency):
    """BASNet's refined map of images resized to 256 x 256.

    COMUS resizes the thresholded mask back by the nearest pixel; here the map is resized, bilinearly, and then
    thresholded. Like COMUS, and unlike BASNet's own test script, it does not divide an image by its greatest value.

    Args:
        network: with its weights.
    """

    def __init__(self, network: BASNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, names: Sequence[str]) -> Tensor:
        """Normalised images (B, 3, S, S) -> float32 (B, S, S), 0 to 1."""
        refined = self.network(views.resize(images, SIDE))[0]
        return F.interpolate(refined[:, None].float(), images.shape[-2:], mode="bilinear", antialias=True)[:, 0]


def load(settings: Settings) -> Network:
    """BASNet with the weights in the file `comus_saliency_place`.

    Raises:
        SettingsError: there is no such file, it cannot be read, or it holds the weights of another model.
    """
    file = weights.placed(settings.comus_saliency_place, _SETTING, _EXPECTED)
    state = weights.read(file, _SETTING, _EXPECTED)
    with torch.device("meta"):  # nothing is drawn for what the file fills
        network = BASNet()
    network = network.to_empty(device="cpu")
    counted = "num_batches_tracked"
    for name in network.state_dict():  # files of PyTorch before 0.4.1 do not count batches
        if name.endswith(counted) and name.replace(counted, "running_var") in state:
            state.setdefault(name, torch.tensor(0))
    weights.fill(network, state, file, _SETTING, _EXPECTED)
    network.borrows = bool(state["bn5d_2.running_mean"].any() and not state["bn6d_2.running_mean"].any())
    return Network(network)


def fingerprint(settings: Settings) -> str:
    """SHA-256 of the weights' file.

    Raises:
        SettingsError: there is no such file.
    """
    return weights.digest(weights.placed(settings.comus_saliency_place, _SETTING, _EXPECTED))


def _halved(x: Tensor) -> Tensor:
    """Maximum over 2 x 2, sides rounded up."""
    return F.max_pool2d(x, 2, ceil_mode=True)


def _grown(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
