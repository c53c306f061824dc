"""DINO's ViT-S/8 (Caron et al., ICCV 2021) by timm: its CLS token, its attention and its keys.

It was trained on ImageNet without labels, 800 epochs, and COMUS takes all it knows of objects from it. (As a backbone
of PiCIE it is one of `zoo`'s.) timm is imported where a model is loaded, for that takes seconds.
"""

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from picie_core.network import weights
from picie_core.settings import Settings, SettingsError

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

NAME = "vit_small_patch8_224.dino"
"""The model as timm calls it; what stands behind the point names the weights."""

FILE = "dino_deitsmall8_pretrain.pth"
"""The authors' file."""

_URL = f"https://dl.fbaipublicfiles.com/dino/dino_deitsmall8_pretrain/{FILE}"
_EXPECTED = (
    f"DINO's ViT-S/8: the file {FILE} ({_URL}), which is the backbone alone and no full checkpoint, or "
    f"model.safetensors of timm's {NAME}"
)
_SETTING = "comus_dino_place"


def load(settings: Settings) -> "VisionTransformer":
    """The network, from the file `comus_dino_place` or fetched by timm, once, into the cache of huggingface_hub.

    The released file and timm's hold the same tensors under the same names.

    Returns:
        In evaluation mode, on the CPU, without gradients; images may have any sides that are multiples of 8 (the
        positions are resampled by timm, bicubically with antialiasing; by DINO's code without).

    Raises:
        SettingsError: the weights cannot be had, or the file holds those of another model.
    """
    import timm

    build: Any = {"num_classes": 0, "dynamic_img_size": True}
    if settings.comus_dino_place is None:
        try:
            model = timm.create_model(NAME, pretrained=True, **build)
        except (OSError, RuntimeError) as error:  # no network and no cache; an interrupted or refused download
            raise SettingsError(
                f"DINO's weights could not be fetched by timm ({str(error).splitlines()[0]}). Place the file {FILE} "
                f"(from {_URL}; or model.safetensors of timm's {NAME}) anywhere and name it with {_SETTING}"
            ) from error
    else:
        file = weights.placed(settings.comus_dino_place, _SETTING, _EXPECTED)
        state = weights.read(file, _SETTING, _EXPECTED)
        model = timm.create_model(NAME, pretrained=False, **build)
        weights.fill(model, state, file, _SETTING, _EXPECTED)
    return cast("VisionTransformer", model.eval().requires_grad_(False))


def fingerprint(settings: Settings) -> str:
    """What tells these weights from others: SHA-256 of the file placed, or, where timm fetches them, the model's name
    (which says the weights' version: timm gives others another name).

    Raises:
        SettingsError: the setting names no file.
    """
    if settings.comus_dino_place is None:
        return f"timm/{NAME}"
    return weights.digest(weights.placed(settings.comus_dino_place, _SETTING, _EXPECTED))


@torch.no_grad()
def cls_tokens(model: "VisionTransformer", images: Tensor) -> Tensor:
    """The CLS token behind the last norm, COMUS's feature of an object: normalised images (B, 3, H, W) -> (B, D), D =
    384.

    Raises:
        ValueError: sides that are no multiples of the patch's.
    """
    _grid(model, images)
    return model.forward_features(images)[:, 0]


@torch.no_grad()
def attention(model: "VisionTransformer", images: Tensor) -> Tensor:
    """How much the CLS token of the last block attends to each patch, softmax(q k^T / sqrt(d)), by head.

    Args:
        model: of `load`.
        images: normalised, (B, 3, H, W).

    Returns:
        (B, heads, H / 8, W / 8), above 0; the sum over an image is 1 less what the token gives to itself.

    Raises:
        ValueError: sides that are no multiples of the patch's.
    """
    height, width = _grid(model, images)
    query, key = _last(model, images)
    scores = query[:, :, :1] @ key.transpose(2, 3) * query.shape[-1] ** -0.5  # (B, heads, 1, 1 + hw)
    return scores.softmax(dim=-1)[:, :, 0, 1:].unflatten(2, (height, width))


@torch.no_grad()
def keys(model: "VisionTransformer", images: Tensor) -> Tensor:
    """The patches' keys in the last block, those of all heads one after the other: LOST's features.

    Args:
        model: of `load`.
        images: normalised, (B, 3, H, W).

    Returns:
        (B, D, H / 8, W / 8).

    Raises:
        ValueError: sides that are no multiples of the patch's.
    """
    height, width = _grid(model, images)
    _, key = _last(model, images)
    return key[:, :, 1:].transpose(2, 3).flatten(1, 2).unflatten(2, (height, width))


def _last(model: "VisionTransformer", images: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys of the last block, each (B, heads, 1 + hw, d), the CLS token's first."""
    block: Any = model.blocks[-1].attn
    held: list[Tensor] = []
    handle = block.qkv.register_forward_hook(lambda _module, _inputs, output: held.append(output))
    try:
        model.forward_features(images)
    finally:
        handle.remove()
    query, key, _ = held[0].unflatten(2, (3, block.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, heads, 1 + hw, d)
    return block.q_norm(query), block.k_norm(key)  # identities in DINO


def _grid(model: "VisionTransformer", images: Tensor) -> tuple[int, int]:
    """Rows and columns of patches."""
    (down, across), (height, width) = model.patch_embed.patch_size, images.shape[-2:]
    if height % down or width % across:
        raise ValueError(
            f"images are {height} x {width} pixels, but this network sees patches of {down} x {across}: "
            "give sides that are multiples of these"
        )
    return height // down, width // across
