"""`maps`: the cluster of every pixel, whatever the size of the photograph."""

import io
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from photographs import picture
from PIL import Image

from picie_core import metrics, palettes, training
from picie_core.methods import METHODS
from picie_core.segmentation import maps
from picie_core.settings import Settings

K = 12  # of `tiny_run`


def test_an_image_of_the_runs_own_size_is_segmented_as_in_evaluation(tiny_run):
    _, val = training.splits(tiny_run.settings)
    method, fabric = training.restore(tiny_run)
    matrix = np.zeros((len(val.classes), K), dtype=np.int64)
    for image, labels in zip(val.images[:], val.labels[:], strict=True):
        found = maps.segment_image(method, image, tiny_run.settings.image_size, fabric.device)
        matrix += metrics.confusion(labels, found, len(val.classes), K)
    # Not every pixel: of logits that are equal but for rounding, one strip may take the one and evaluation the other.
    assert np.abs(matrix - tiny_run.confusion).sum() <= 0.002 * matrix.sum()


def test_the_overlay_is_the_image_where_it_is_not_the_cluster(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "STRIP", 40 * 3 * 7)  # seven rows at a time
    image, clusters = picture(40, 32), np.zeros((32, 40), dtype=np.uint8)
    palette = palettes.of_clusters(K)
    (tmp_path / "drawn.jpg").write_bytes(maps.jpeg(maps.overlay(image, clusters, palette)))
    drawn = np.asarray(Image.open(tmp_path / "drawn.jpg")).astype(float)
    expected = 0.55 * palette[0] + 0.45 * image
    assert np.abs(drawn - expected).mean() < 12  # JPEG


def test_one_cluster_may_leave_the_image_as_it_is():
    image, clusters = picture(40, 32), np.zeros((32, 40), dtype=np.uint8)
    clusters[:5] = 1
    palette = palettes.of_clusters(K)
    whole, clear = maps.overlay(image, clusters, palette), maps.overlay(image, clusters, palette, 0)
    assert (clear[5:] == image[5:]).all()
    assert (clear[:5] == whole[:5]).all()
    assert (whole[5:] != image[5:]).any()


@pytest.mark.parametrize(("width", "expected"), [(65_500, (65_500, 3)), (131_000, (65_500, 2)), (3, (3, 3))])
def test_an_overlay_is_made_no_larger_than_a_jpeg_can_be(width, expected):
    with Image.open(io.BytesIO(maps.jpeg(np.full((3, width, 3), 250, np.uint8)))) as image:
        assert image.size == expected


@pytest.mark.parametrize(("height", "width", "expected"), [(30, 40, (40, 30)), (1000, 2000, (480, 240)),
                                                           (900, 3, (2, 480)), (3, 900, (480, 2))])  # fmt: skip
def test_a_pair_is_the_small_image_and_its_small_overlay(tmp_path, height, width, expected):
    image, drawn = np.full((height, width, 3), 250, np.uint8), np.full((height, width, 3), 10, np.uint8)
    pair, size = maps.pair_jpeg(image, drawn)
    (tmp_path / "pair.jpg").write_bytes(pair)
    found = np.asarray(Image.open(tmp_path / "pair.jpg")).astype(int)
    assert size == expected
    assert found.shape == (size[1], 2 * size[0], 3)
    assert np.abs(found[:, : size[0]] - 250).max() < 25  # JPEG
    assert np.abs(found[:, size[0] :] - 10).max() < 25


def test_maps_of_more_than_256_clusters_are_16_bit(tmp_path):
    clusters = np.array([[0, 255], [256, 300]], dtype=np.uint16)
    (tmp_path / "map.png").write_bytes(maps.index_png(clusters, palettes.of_clusters(301)))
    with Image.open(tmp_path / "map.png") as image:
        assert np.asarray(image).tolist() == clusters.tolist()


# -- strips


@given(
    h=st.integers(1, 9), w=st.integers(1, 9), height=st.integers(1, 60), width=st.integers(1, 60),
    strip=st.integers(1, 400), seed=st.integers(0, 99),
)  # fmt: skip
def test_strips_upsample_as_the_whole(h, w, height, width, strip, seed):
    logits = torch.rand((1, 3, h, w), generator=torch.Generator().manual_seed(seed))
    whole = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "STRIP", strip)
        slices = list(maps._strips(height, width * 3))
    pieces = [maps._upsampled(logits, rows, (height, width), (h, w)) for rows in slices]
    assert torch.allclose(torch.cat(pieces, dim=2), whole, atol=1e-5)
    assert all(piece.numel() <= max(strip, width * 3) for piece in pieces)


class Stripes:
    """Twenty clusters, in stripes across the image."""

    coarsest = 32

    def logits(self, images):
        height, width = images.shape[-2:]
        stripe = torch.linspace(0, 19.99, height // 4)[:, None].expand(-1, width // 4)
        return {"final": -(stripe - torch.arange(20)[:, None, None]).abs()[None]}


def test_a_large_photograph_is_upsampled_piece_by_piece(monkeypatch):
    """24 megapixels and 20 clusters would be 1.9 GB of logits; at no time is more than one strip of them there."""
    sizes, strips, together = [], weakref.WeakSet(), []
    real = maps._upsampled

    def upsampled(*args):
        strip = real(*args)
        sizes.append(strip.numel())
        strips.add(strip)
        together.append(len(strips))
        return strip

    monkeypatch.setattr(maps, "_upsampled", upsampled)
    photograph = np.zeros((1200, 1600, 3), dtype=np.uint8)
    monkeypatch.setattr(maps, "STRIP", 2**20)
    clusters = maps.segment_image(Stripes(), photograph, 128, torch.device("cpu"))
    assert len(sizes) > 30
    assert max(sizes) <= 2**20
    assert max(together) == 1
    assert clusters.shape == (1200, 1600)
    assert clusters.dtype == np.uint8
    assert np.unique(clusters).tolist() == list(range(20))
    assert (np.diff(clusters[:, 0].astype(int)) >= 0).all()


@pytest.mark.parametrize(("height", "width"), [(90, 133), (128, 128), (20, 31), (400, 61)])
def test_the_network_sees_whole_coarse_cells_and_the_margin_is_dropped(height, width):
    seen = []

    class Spy:
        coarsest = 32

        def logits(self, images):
            seen.append(tuple(images.shape[-2:]))
            columns = torch.arange(images.shape[-1] // 4).expand(images.shape[-2] // 4, -1)
            return {"final": torch.stack([-(columns - k).abs().float() for k in range(200)])[None]}

    clusters = maps.segment_image(Spy(), np.zeros((height, width, 3), np.uint8), 64, torch.device("cpu"))
    assert all(side % 32 == 0 for side in seen[0])
    cells = round(width * 64 / min(height, width) / 4)
    assert clusters.shape == (height, width)
    assert clusters[0, -1] == cells - 1  # the last column is the image's, not the margin's
    assert clusters[0, 0] == 0


@pytest.mark.parametrize(("height", "width", "expected"), [
    (1, 6000, (32, 4096)), (6000, 1, (4096, 32)), (10, 6000, (32, 4096)),
    (100, 6000, (64, 3840)), (61, 3904, (64, 4096)), (1, 2, (64, 128)),
])  # fmt: skip
def test_what_the_network_sees_of_a_thin_picture_is_bounded(height, width, expected):
    seen = []

    class Spy(Stripes):
        def logits(self, images):
            seen.append(tuple(images.shape[-2:]))
            return super().logits(images)

    clusters = maps.segment_image(Spy(), np.zeros((height, width, 3), np.uint8), 64, torch.device("cpu"))
    assert seen == [expected]
    assert clusters.shape == (height, width)


class Ramp:
    """Two clusters, the second right of a share of the image's width: features of some cell, of images that go on for
    some pixels."""

    def __init__(self, cell, share, across, coarsest=32):
        self.cell, self.share, self.across, self.coarsest = cell, share, across, coarsest

    def logits(self, images):
        height, width = (side // self.cell for side in images.shape[-2:])
        right = (torch.arange(width) + 0.5) * self.cell / self.across - self.share
        return {"final": torch.stack([-right, right])[None, :, None].expand(-1, -1, height, -1)}


@pytest.mark.parametrize("cell", [1, 4, 8])
@pytest.mark.parametrize("width", [4000, 4032, 3990])
def test_an_edge_lies_where_it_is_whatever_the_cell(cell, width):
    """Of DeepLabv3's cells of 8 pixels the last may be the image's by half; maps were stretched by it, by 42 pixels."""
    height, side = 300, 256
    across = 4 * round(width * side / height / 4)
    clusters = maps.segment_image(
        Ramp(cell, 0.9, across), np.zeros((height, width, 3), np.uint8), side, torch.device("cpu")
    )
    assert abs(int(clusters[150].argmax()) - 0.9 * width) <= 1


@pytest.mark.parametrize(("height", "width"), [(400, 600), (300, 400), (135, 240)])
def test_position_has_the_same_shares_in_any_photograph(height, width):
    """Padded to cells that it does not have, half of the width lay at 0.56 of it."""
    method = METHODS["position"](Settings(method="position", num_clusters=2, image_size=96), 0)
    method.final_prototypes = torch.tensor([[0.25, 0.5], [0.75, 0.5]])
    clusters = maps.segment_image(method, np.zeros((height, width, 3), np.uint8), 96, torch.device("cpu"))
    assert abs(int(clusters[0].argmax()) - width / 2) <= 1
    assert (clusters == clusters[0]).all()
