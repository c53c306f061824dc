"""A prior that needs no weights: an object is what cannot be reached from the image's edge without a step in colour,
and has other colours than the edge.

Zhang et al., "Minimum Barrier Salient Object Detection at 80 FPS", ICCV 2015: the method MB+.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from picie_core import views
from picie_core.saliency.interface import Saliency, scaled

PASSES = 3
"""Sweeps in the four directions; the paper's K, whose passes have two directions each."""

STEEPNESS = 10.0
"""b of the contrast's sigmoid, the paper's."""

# Linear sRGB to XYZ (D65; IEC 61966-2-1), each row divided by the white's value.
_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)


class Contrast(Saliency):
    """The minimum barrier distance to the image's edge, and the distance from the edge's colours, added; smoothed, its
    contrast enhanced.

    Of the paper's MB+ this leaves out the preference for the centre. Measured on the first 200 training close-ups (and
    120 training scenes) at 96 x 96 pixels: IoU of the masks with the things, pixels of all images pooled, at Li's
    threshold: sum 0.58 (0.33), barrier distance alone 0.47 (0.31), distance from the edge's colours alone 0.53 (0.26);
    the sum at 0.5: 0.44 (0.29); every pixel: 0.26 (0.16). In scenes trees, houses and the sun stand out as much as
    things do.
    """

    def forward(self, images: Tensor, names: Sequence[str]) -> Tensor:
        """Normalised images (B, 3, S, S) -> float32 (B, S, S), 0 to 1."""
        with torch.autocast(images.device.type, enabled=False):
            pixels = views.denormalise(images.float()).clamp(0, 1)
            both = scaled(barrier(lab(pixels)).sum(1)) + scaled(background(pixels))
            return enhanced(smoothed(scaled(both), 2 * round(images.shape[-1] / 40) + 1))


def background(images: Tensor) -> Tensor:
    """The distance of each pixel from the colours of the image's edge (section 4.2).

    Of each of the four strips along the edge, a tenth of the side wide, with mean mu and covariance C of its colours:
    d(p) = sqrt((x_p - mu)^T C^-1 (x_p - mu)), divided by its maximum; then the sum of the four less the greatest, so
    that one strip that the object itself lies in does no harm. C has 1e-3 added to its diagonal.

    Args:
        images: (B, 3, H, W), sRGB in [0, 1]. (The paper measures in L*a*b*, which on our scenes was no better.)

    Returns:
        (B, H, W), 0 to 3.
    """
    rows, columns = (max(1, side // 10) for side in images.shape[-2:])
    strips = (images[:, :, :rows], images[:, :, -rows:], images[:, :, :, :columns], images[:, :, :, -columns:])
    distances = []
    for strip in strips:
        colours = strip.flatten(2)
        mean = colours.mean(2, keepdim=True)
        covariance = (colours - mean) @ (colours - mean).transpose(1, 2) / colours.shape[2]
        inverse = torch.linalg.inv(covariance + 1e-3 * torch.eye(3, device=images.device))
        away = images.flatten(2) - mean
        distance = (away * (inverse @ away)).sum(1).clamp(min=0).sqrt()
        distances.append((distance / distance.amax(1, keepdim=True).clamp(min=1e-12)).unflatten(1, images.shape[-2:]))
    found = torch.stack(distances)
    return found.sum(0) - found.amax(0)


def lab(images: Tensor) -> Tensor:
    """CIE L*a*b* (D65): sRGB (B, 3, H, W) in [0, 1] -> float32 (B, 3, H, W), L 0 to 100, a and b about -110 to 110."""
    linear = torch.where(images > 0.04045, ((images + 0.055) / 1.055) ** 2.4, images / 12.92)
    xyz = torch.einsum("ij,bjhw->bihw", images.new_tensor(_XYZ), linear)
    bent = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=1e-9) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = bent.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def barrier(maps: Tensor, passes: int = PASSES) -> Tensor:
    """The minimum barrier distance of each pixel to the image's edge: the least, over paths of neighbours (by edges)
    from the pixel to any pixel of the edge, of the greatest less the least value on the path.

    FastMBD (section 3): the path of a neighbour, continued to this pixel, replaces the one known if its barrier is
    lower. The paper visits pixels one by one; here a row (then a column) at a time, downward, upward, rightward,
    leftward. The result is the barrier of a path, so never below the distance; it is above where the best path of a
    pixel does not pass over the best paths of its neighbours, or winds more often than there are passes.

    Args:
        maps: (B, C, H, W); each channel by itself.
        passes: of the four directions.

    Returns:
        As `maps`; 0 on the edge.
    """
    value = maps.flatten(0, 1).permute(1, 0, 2).contiguous()  # (H, BC, W): a row of all maps lies together
    cost = torch.full_like(value, torch.inf)
    cost[0] = cost[-1] = cost[:, :, 0] = cost[:, :, -1] = 0
    held = [value, value.clone(), value.clone(), cost]  # with the highest and the lowest on the path known
    for _ in range(2 * passes):
        value, high, low, cost = held
        for here, there in _steps(len(value)):
            higher, lower = torch.maximum(high[there], value[here]), torch.minimum(low[there], value[here])
            better = higher - lower < cost[here]
            for known, new in ((high, higher), (low, lower), (cost, higher - lower)):
                known[here] = torch.where(better, new, known[here])
        held = [each.permute(2, 1, 0).contiguous() for each in held]  # rows become columns
    return held[3].permute(1, 0, 2).reshape(maps.shape)


def smoothed(maps: Tensor, width: int) -> Tensor:
    """Opening by reconstruction, then closing by reconstruction (section 4.3): bright parts, then dark ones, that a
    square does not fit into are levelled; the outlines of the others stay.

    The release's square is 50 sqrt(mean of the map) of 300 pixels wide; this one does not depend on the map.

    Args:
        maps: (B, H, W).
        width: of the square, odd.

    Returns:
        As `maps`.
    """
    opened = _reconstructed(-_dilated(-maps, width), maps)
    return -_reconstructed(-_dilated(opened, width), -opened)


def enhanced(maps: Tensor) -> Tensor:
    """Scaled maps, then sigmoid(b (m - t)), t halfway between the means of the values from half the greatest on and of
    those below, which is the release's; the paper's is 0.5: (B, H, W) -> in (0, 1)."""
    maps = scaled(maps)
    bright = maps >= maps.amax((1, 2), keepdim=True) / 2
    means = [(maps * part).sum((1, 2)) / part.sum((1, 2)).clamp(min=1) for part in (bright, ~bright)]
    middle = torch.stack(means).mean(0)[:, None, None]
    return torch.sigmoid(STEEPNESS * (maps - middle))


def _dilated(maps: Tensor, width: int) -> Tensor:
    """The greatest value in the square around each pixel."""
    return F.max_pool2d(maps[:, None], width, stride=1, padding=width // 2)[:, 0]


def _reconstructed(markers: Tensor, maps: Tensor) -> Tensor:
    """Greyscale reconstruction: the markers, grown from neighbour to neighbour (by edges), never above the maps, until
    nothing changes."""
    held = [each.permute(1, 0, 2).contiguous() for each in (torch.minimum(markers, maps), maps)]
    while True:
        before = held[0].clone()
        for _ in ("rows", "columns"):
            grown, bound = held
            for here, there in _steps(len(grown)):
                grown[here] = torch.minimum(torch.maximum(grown[here], grown[there]), bound[here])
            held = [each.permute(2, 1, 0).contiguous() for each in held]
        if torch.equal(held[0], before):
            return before.permute(1, 0, 2).contiguous()


def _steps(length: int) -> list[tuple[int, int]]:
    """Downward, then upward: each row, and the row before it."""
    return [(y, y - 1) for y in range(1, length)] + [(y, y + 1) for y in range(length - 2, -1, -1)]
