"""Object proposals: what is salient in an image as one region, its box, and the picture in the box.

COMUS takes all salient pixels of an image for one object (section 3.1): an image gives one proposal or none.
"""

import torch
from torch import Tensor


def boxes(masks: Tensor, smallest: float) -> tuple[Tensor, Tensor]:
    """The bounding box of each mask, and which masks are large enough to be proposals.

    Args:
        masks: bool (B, S, S).
        smallest: share of the image; a mask of fewer pixels is no proposal (the release: of at most 400 pixels of the
            image as it is stored).

    Returns:
        float32 (B, 4): left, top, right, bottom in pixels, the last two exclusive; zeros where nothing is salient.
        bool (B,): whether there is a salient pixel, and a large enough share of them.
    """
    area = masks.sum(dim=(1, 2))
    rows, columns = masks.any(dim=2), masks.any(dim=1)
    found = torch.stack([_first(columns), _first(rows), _last(columns), _last(rows)], dim=1).float()
    large = (area > 0) & (area >= smallest * masks[0].numel())
    return torch.where(area[:, None] > 0, found, 0.0), large


def crop(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The picture in each image's box, resized to a square: (B, C, H, W), (B, 4) -> (B, C, size, size).

    Bilinear (torchvision's RoIAlign), antialiased where the box is larger than `size`; what the mask leaves out of the
    box stays in the picture, as the paper has it.
    """
    from torchvision.ops import roi_align

    return roi_align(images.float(), list(boxes.float().to(images.device)[:, None]), size, aligned=True)


def pack(masks: Tensor) -> Tensor:
    """Masks at one bit a pixel: bool (B, S, S), S a multiple of 8 -> uint8 (B, S, S / 8)."""
    bits = masks.reshape(*masks.shape[:2], -1, 8).to(torch.uint8)
    return (bits << torch.arange(8, dtype=torch.uint8, device=masks.device)).sum(dim=-1, dtype=torch.uint8)


def unpack(packed: Tensor) -> Tensor:
    """What `pack` packed: uint8 (B, S, S / 8) -> bool (B, S, S)."""
    bits = packed[..., None] >> torch.arange(8, dtype=torch.uint8, device=packed.device) & 1
    return bits.flatten(2).bool()


def _first(line: Tensor) -> Tensor:
    return line.int().argmax(dim=1)


def _last(line: Tensor) -> Tensor:
    return line.shape[1] - line.flip(1).int().argmax(dim=1)
