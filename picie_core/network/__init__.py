"""The embedding f: a ResNet and a simplified pyramid that sums 1x1-convolved levels at a quarter of the size."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from picie_core import draws, views
from picie_core.devices.precision import raised
from picie_core.settings import Settings, SettingsError
from picie_core.views import photometry

if TYPE_CHECKING:
    from torchvision.models import ResNet  # seconds of import, which what builds no network need not wait for

LEVELS = ("layer1", "layer2", "layer3", "layer4")
_DEPTH = {"fpn": 4, "res12": 1, "res12_layer2": 2}  # levels of a trunk


class Network(nn.Module):
    """ResNet + feature pyramid -> raw (not normalised) features.

    The pyramid has one 1x1 convolution with bias a level and no smoothing (supplement S1). `direct`: every level is
    upsampled straight to 1/4 of the input and all are summed, as the supplement says; `cascade`: from the coarsest,
    upsample to the next level's size and add, as the release does. The two differ by about 10 % of the output's norm.
    A shallow trunk (IIC-res12) has no pyramid: its features are those of its last level.

    Args:
        backbone: without the levels that the trunk does not use.
        settings: `trunk`, `fpn`, `feature_dim`, `sobel`.

    Attributes:
        channels: of the features: `feature_dim`, or the last level's.
    """

    def __init__(self, backbone: "ResNet", settings: Settings) -> None:
        super().__init__()
        self.backbone = backbone
        self.levels = LEVELS[: _DEPTH[settings.trunk]]
        self.fpn, self.sobel = settings.fpn, settings.sobel
        widths = [_out_channels(getattr(backbone, level)) for level in self.levels]
        pyramid = settings.trunk == "fpn"
        self.lateral = nn.ModuleList(nn.Conv2d(c, settings.feature_dim, kernel_size=1) for c in widths if pyramid)
        self.channels = settings.feature_dim if pyramid else widths[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) -> raw features (B, channels, ceil(H / 4), ceil(W / 4))."""
        net = self.backbone
        if self.sobel:
            images = torch.cat([images, gradients(images)], dim=1)
        images = images.to(net.conv1.weight.dtype)
        x = images.contiguous(memory_format=torch.channels_last)  # 1.7 times as fast as the default on a CPU
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        levels = []
        for number, name in enumerate(self.levels):
            x = getattr(net, name)(x)
            levels.append(self.lateral[number](x) if self.lateral else x)
        if not self.lateral:
            return _upsample(x, levels[0])
        if self.fpn == "direct":
            return sum((_upsample(level, levels[0]) for level in levels[1:]), start=levels[0])
        top = levels.pop()
        while levels:
            finer = levels.pop()
            top = finer + _upsample(top, finer)
        return top


def embed(features: Tensor) -> Tensor:
    """Raw features (B, D, h, w) -> unit vectors along D, float32 (`metric = cosine` in the release)."""
    return F.normalize(raised(features), dim=1)


def part(weights: Mapping[str, Tensor], prefix: str = "network.") -> dict[str, Tensor]:
    """Of a method's weights those of its network, by the names that they have there."""
    return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}


def gradients(images: Tensor) -> Tensor:
    """Image gradients dx and dy: Sobel's filter (left minus right, above minus below) on the grey picture in [0, 1],
    zeros around it, as IIC: normalised images (B, 3, H, W) -> (B, 2, H, W), -4 to 4."""
    grey = photometry.grey(views.denormalise(images))
    dx = grey.new_tensor([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    return F.conv2d(grey, torch.stack([dx, dx.T])[:, None], padding=1)


def classifier(channels: int, k: int, device: torch.device | str = "cpu", bias: bool = True) -> nn.Conv2d:
    """A linear classifier of pixels, a 1x1 convolution, for `draw_classifier` to fill."""
    return nn.Conv2d(channels, k, kernel_size=1, bias=bias, device="meta").to_empty(device=device)


def draw_classifier(layer: nn.Conv2d, key: draws.Key, std: float = 0.01) -> nn.Conv2d:
    """Give a classifier weights N(0, std), a function of the key, and bias 0: as the release, where std is 0.01."""
    state = {"weight": torch.from_numpy(draws.generator(key).normal(0, std, layer.weight.shape))}
    layer.load_state_dict(state if layer.bias is None else state | {"bias": torch.zeros(len(layer.bias))})
    return layer


def build(settings: Settings) -> Network:
    """The network of a run, its weights drawn from the run's seed or read from torchvision's ImageNet weights.

    Returns:
        A `Network` on the CPU. The pyramid's convolutions are always drawn (torch's default initialisation).

    Raises:
        SettingsError: ImageNet weights are asked for and cannot be had, or the file is not torchvision's.
    """
    import torchvision

    with draws.by_torch((settings.seed, "network")):
        backbone = getattr(torchvision.models, settings.backbone)(weights=None)
        for part in ("fc", "avgpool", *LEVELS[_DEPTH[settings.trunk] :]):
            delattr(backbone, part)
        if settings.sobel:
            backbone.conv1 = _wider(backbone.conv1)
        for conv in (layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)):
            if any(conv.padding):  # a 1x1 convolution has none
                conv.padding_mode = settings.padding
        network = Network(backbone, settings)
    if settings.pretrained:
        weights = imagenet_weights(settings.backbone, settings.weights_file)
        backbone.load_state_dict({n: w for n, w in weights.items() if hasattr(backbone, n.partition(".")[0])})
    return network.to(memory_format=torch.channels_last)


def imagenet_weights(backbone: str, file: Path | None = None) -> dict[str, Tensor]:
    """torchvision's ImageNet weights, downloaded once into torch's hub cache, or read from `file`.

    Raises:
        SettingsError: no network and no file, or a file whose hash is not torchvision's; the message says what to do.
    """
    import torchvision

    weights = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"]
    name = weights.url.rsplit("/", 1)[-1]  # resnet18-f37072fd.pth: the hash stands in the name
    digest = name.rsplit("-", 1)[-1].removesuffix(".pth")
    if file is not None:
        file = Path(file).expanduser()
        if not file.is_file():
            raise SettingsError(f"weights_file = {str(file)!r}: there is no such file; expected torchvision's {name}")
        return _read_weights(file, name, digest)
    place = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not place.is_file():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(weights.url, str(place), hash_prefix=digest, progress=False)
        except (OSError, RuntimeError) as error:  # no network (URLError, HTTPError), no place to write; a wrong hash
            raise SettingsError(
                f"pretrained = True: torchvision's ImageNet weights for {backbone} could not be fetched ({error}). "
                f"Place the file {name} (from {weights.url}) at {place}, or name it with weights_file, "
                "or give pretrained=False (-p pretrained=false) to start from random weights"
            ) from error
    return _read_weights(place, name, digest)


def _read_weights(file: Path, name: str, digest: str) -> dict[str, Tensor]:
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if not found.startswith(digest):
        raise SettingsError(
            f"the weights in {file}: their sha256 begins with {found[:8]}, torchvision's {name} with {digest}; "
            "delete the file and fetch it again, or give pretrained=False (-p pretrained=false)"
        )
    return torch.load(file, map_location="cpu", weights_only=True)


def _wider(conv: nn.Conv2d) -> nn.Conv2d:
    """The first convolution for 5 channels instead of 3, drawn as torchvision draws it."""
    wider = nn.Conv2d(5, conv.out_channels, conv.kernel_size[0], conv.stride[0], conv.padding[0], bias=False)
    nn.init.kaiming_normal_(wider.weight, mode="fan_out", nonlinearity="relu")
    return wider


def _out_channels(level: nn.Module) -> int:
    return [layer for layer in level.modules() if isinstance(layer, nn.BatchNorm2d)][-1].num_features


def _upsample(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)
