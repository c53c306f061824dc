"""The embedding f: a backbone and a simplified pyramid that sums 1x1-convolved levels at a quarter of the size."""

from collections.abc import Mapping
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from picie_core import draws
from picie_core.devices.precision import raised
from picie_core.network import resnet, zoo
from picie_core.network.pyramid import Network, gradients
from picie_core.settings import Settings

__all__ = ["Network", "build", "classifier", "draw_classifier", "embed", "fingerprint", "gradients", "part", "require"]


def build(settings: Settings) -> Network:
    """The network of a run, its weights drawn from the run's seed or, of a pretrained backbone, read.

    Returns:
        A `Network` on the CPU. The pyramid's convolutions are always drawn (torch's default initialisation).

    Raises:
        SettingsError: weights are asked for and cannot be had, or the file is another's; or there is no such backbone.
    """
    return _family(settings).build(settings).to(memory_format=torch.channels_last)


def require(settings: Settings) -> None:
    """Raise `build`'s `SettingsError`, where it would, of a backbone whose weights are to be read."""
    _family(settings).require(settings)


def fingerprint(settings: Settings) -> str:
    """What tells the weights that a backbone starts from, where the settings' values do not: "" or a digest."""
    return _family(settings).fingerprint(settings)


def embed(features: Tensor) -> Tensor:
    """Raw features (B, D, h, w) -> unit vectors along D, float32 (`metric = cosine` in the release)."""
    return F.normalize(raised(features), dim=1)


def part(weights: Mapping[str, Tensor], prefix: str = "network.") -> dict[str, Tensor]:
    """Of a method's weights those of its network, by the names that they have there."""
    return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}


def classifier(channels: int, k: int, device: torch.device | str = "cpu", bias: bool = True) -> nn.Conv2d:
    """A linear classifier of pixels, a 1x1 convolution, for `draw_classifier` to fill."""
    return nn.Conv2d(channels, k, kernel_size=1, bias=bias, device="meta").to_empty(device=device)


def draw_classifier(layer: nn.Conv2d, key: draws.Key, std: float = 0.01) -> nn.Conv2d:
    """Give a classifier weights N(0, std), a function of the key, and bias 0: as the release, where std is 0.01."""
    state = {"weight": torch.from_numpy(draws.generator(key).normal(0, std, layer.weight.shape))}
    layer.load_state_dict(state if layer.bias is None else state | {"bias": torch.zeros(len(layer.bias))})
    return layer


def _family(settings: Settings) -> ModuleType:
    return resnet if settings.backbone.startswith("resnet") else zoo
