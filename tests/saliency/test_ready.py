"""`saliency.ready` and the fingerprint: masks from files, framed, refused, and told from others."""

import hashlib
import io

import numpy as np
import pytest
import torch
from PIL import Image

from picie_core import saliency
from picie_core.datasets.problems import DataError, Unusable
from picie_core.network import weights
from picie_core.saliency import ready
from picie_core.settings import Settings, SettingsError


def settings(**values) -> Settings:
    return Settings(method="pseudomasks", **values)


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 255], [128, 3]], np.uint8), [[0, 255], [128, 3]]),
        (np.array([[0, 1], [1, 0]], np.uint8), [[0, 1], [1, 0]]),
        (np.array([[False, True], [True, False]]), [[0, 1], [1, 0]]),
        (np.array([[0, 65535], [32768, 257]], np.uint16), [[0, 255], [127, 1]]),
        (np.repeat(np.array([[0, 255], [9, 0]], np.uint8)[:, :, None], 3, axis=2), [[0, 255], [9, 0]]),
    ],
)
def test_a_mask_may_be_of_any_depth(values, expected):
    assert ready.read(png(values)).tolist() == expected


GREY = np.array([[0, 255, 255, 0], [9, 128, 0, 255]], np.uint8)


def stored(how: str) -> Image.Image:
    """The mask `GREY` in a mode of Pillow."""
    grey = Image.fromarray(GREY)
    if how in ("RGBA", "LA"):
        return grey.convert(how)
    if how == "upside down":  # a palette that begins with white
        found = Image.fromarray(255 - GREY).convert("P")
        found.putpalette(np.repeat(np.arange(255, -1, -1, dtype=np.uint8), 3).tobytes())
        return found
    return grey.quantize(256)


def saved(image: Image.Image, **values) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **values)
    return stream.getvalue()


def coloured(indices: list[int], *palette: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(np.array([indices], np.uint8)).convert("P")
    image.putpalette(bytes(value for colour in palette for value in colour))
    return image


@pytest.mark.parametrize("how", ["RGBA", "LA", "upside down", "quantized"])
def test_a_grey_mask_is_what_it_looks_like_however_it_is_stored(how):
    assert ready.read(saved(stored(how))).tolist() == GREY.tolist()


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_of_one_grey_in_a_palette_is_what_it_looks_like(value):
    assert (ready.read(saved(Image.new("L", (3, 2), value).quantize(2))) == value).all()


def test_white_on_black_in_two_colours_by_pillow():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:4, 3:] = 255
    assert (ready.read(saved(Image.fromarray(mask).quantize(2))) == mask).all()


VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]


def test_a_palette_of_colours_is_read_by_indices_that_brighten():
    assert ready.read(saved(coloured([0, 1, 1, 0], *VOC))).tolist() == [[0, 1, 1, 0]]
    assert ready.read(saved(coloured([0, 4, 4, 0], *VOC))).tolist() == [[0, 4, 4, 0]]
    assert ready.read(saved(coloured([0, 1, 2, 3], *VOC), transparency=b"\xff" * 5)).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (coloured([0, 3, 4], *VOC), r"palette of colours, in which 4 \(brightness 15\) is not brighter than 3 "),
        (coloured([0, 1], (255, 255, 254), (0, 0, 0)), r"in which 1 \(brightness 0\) is not brighter than 0 \(255\)"),
        (coloured([0, 1], (9, 0, 0), (9, 0, 0)), "in which 1 .* is not brighter than 0"),
    ],
)
def test_a_palette_of_colours_whose_object_nobody_knows_is_refused(image, words):
    with pytest.raises(Unusable, match=f"{words}.*expected a grey picture.*white on black"):
        ready.read(saved(image))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("value", [0, 255])
def test_a_silhouette_on_nothing_is_refused(mode, value):
    image = Image.new("L", (4, 4), value).convert(mode)
    image.putalpha(Image.fromarray(np.eye(4, dtype=np.uint8) * 255))
    with pytest.raises(Unusable, match=r"has transparency.*expected a grey picture.*white on black"):
        ready.read(saved(image))


@pytest.mark.parametrize("image", [Image.fromarray(GREY), Image.fromarray(GREY > 99), stored("quantized")])
def test_a_transparent_grey_is_refused(image):
    with pytest.raises(Unusable, match="has transparency"):
        ready.read(saved(image, transparency=0))


@pytest.fixture
def photographs(tmp_path):
    """A folder of two images, 40 x 30 and 30 x 30, and their masks."""
    for name, (height, width) in {"a/one.jpg": (30, 40), "two.png": (30, 30)}.items():
        file, place = tmp_path / "data" / name, (tmp_path / "masks" / name).with_suffix(".png")
        mask = np.zeros((height, width), np.uint8)
        mask[10:20, width // 2 :] = 255
        for each in (file, place):
            each.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(file)
        place.write_bytes(png(mask))
    places = {"data_root": tmp_path / "data", "comus_saliency_place": tmp_path / "masks"}
    return settings(dataset="folder", comus_saliency="folder", **places)


def test_masks_are_framed_as_labels(photographs):
    maps = saliency.build(photographs)(torch.zeros(2, 3, 60, 60), ["a/one.jpg", "two.png"])
    expected = torch.zeros(2, 60, 60)
    expected[:, 20:40, 30:] = 255  # the centre square of the first, all of the second, each twice as large
    assert maps.dtype == torch.float32
    assert torch.equal(maps, expected)
    assert torch.equal(saliency.masks(maps, 0.5, "image"), expected > 0)


def test_masks_are_black_beyond_the_image(tmp_path):
    (tmp_path / "x.png").write_bytes(png(np.full((64, 64), 255, np.uint8)))
    given = settings(dataset="coco_stuff15", comus_saliency="folder", comus_saliency_place=tmp_path)
    found = ready.Ready(given)(torch.zeros(1, 3, 128, 128), ["x"])[0]
    assert found.sum() == 255 * 21 * 21  # 0.33 x 64 pixels in the middle
    assert found[64, 64] == 255


def test_masks_that_do_not_fit(photographs, tmp_path):
    built, masks = saliency.build(photographs), tmp_path / "masks"

    def refused(names, match):
        with pytest.raises(DataError, match=match):
            built(torch.zeros(len(names), 3, 30, 30), names)

    refused(["two.png", "four.jpg", "a/five"], r"no mask at .*four\.png, and 1 more of the 3 that are needed")
    refused(["four"], r"no mask at .*four\.png\. Expected")
    (masks / "two.png").write_bytes(png(np.zeros((30, 31), np.uint8)))
    refused(["two.png"], r"two\.png is 31 x 30 pixels, its image two\.png is 30 x 30")
    (masks / "two.png").write_bytes(png((np.arange(2700) % 251).astype(np.uint8).reshape(30, 30, 3)))
    refused(["two.png"], r"two\.png: is a colour picture")
    (masks / "two.png").write_bytes(b"no picture")
    refused(["two.png"], r"two\.png: is not an image")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["tif", "jpg", "png"])
def test_a_mask_is_as_large_as_its_upright_image(tmp_path, suffix, orientation):
    exif, (width, height) = Image.Exif(), (30, 20) if orientation < 5 else (20, 30)
    exif[0x0112] = orientation
    for folder in ("data", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "data" / f"x.{suffix}", exif=exif)
    places = {"data_root": tmp_path / "data", "comus_saliency_place": tmp_path / "masks"}
    built = saliency.build(settings(dataset="folder", comus_saliency="folder", **places))
    (tmp_path / "masks" / "x.png").write_bytes(png(np.full((height, width), 255, np.uint8)))
    assert (built(torch.zeros(1, 3, 20, 20), [f"x.{suffix}"]) == 255).all()
    (tmp_path / "masks" / "x.png").write_bytes(png(np.zeros((width, height), np.uint8)))
    with pytest.raises(DataError, match=f"{height} x {width} pixels, its image x.{suffix} is {width} x {height}"):
        built(torch.zeros(1, 3, 20, 20), [f"x.{suffix}"])


def test_a_mask_is_as_large_as_its_image_whose_exif_cannot_be_read(photographs, tmp_path):
    Image.new("RGB", (30, 30)).save(tmp_path / "data" / "two.png", exif=b"Exif\0\0garbage, and no TIFF header")
    built = saliency.build(photographs)
    assert built(torch.zeros(1, 3, 30, 30), ["two.png"]).any()
    (tmp_path / "masks" / "two.png").write_bytes(png(np.zeros((30, 31), np.uint8)))
    with pytest.raises(DataError, match=r"two\.png is 31 x 30 pixels, its image two\.png is 30 x 30"):
        built(torch.zeros(1, 3, 30, 30), ["two.png"])


def test_without_the_images_a_warning_says_that_sizes_are_not_checked(photographs, tmp_path, caplog):
    saliency.build(photographs.replace(data_root=tmp_path / "gone"))(torch.zeros(1, 3, 30, 30), ["two.png"])
    assert "sizes of masks are not checked" in caplog.text


def test_masks_of_scenes_are_square(tmp_path):
    (tmp_path / "a-000000.png").write_bytes(png(np.zeros((30, 31), np.uint8)))
    built = saliency.build(settings(comus_saliency="folder", comus_saliency_place=tmp_path))
    with pytest.raises(DataError, match="31 x 30 pixels; its image a-000000 is square"):
        built(torch.zeros(1, 3, 96, 96), ["a-000000"])


def test_the_fingerprint_follows_the_files(photographs, tmp_path, monkeypatch):
    assert saliency.fingerprint(settings()) == ""
    first = saliency.fingerprint(photographs)
    assert len(first) == 64
    with monkeypatch.context() as patch:
        patch.setattr(weights.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
        assert saliency.fingerprint(photographs) == first
    file = tmp_path / "masks" / "two.png"
    content = file.read_bytes()
    file.rename(file.with_name("three.png"))
    assert saliency.fingerprint(photographs) != first
    file.with_name("three.png").rename(file)
    assert saliency.fingerprint(photographs) == first
    file.write_bytes(content + b"x")
    assert saliency.fingerprint(photographs) != first
    file.write_bytes(content)
    file.with_name("four.PNG").write_bytes(content)  # which is nobody's mask
    assert saliency.fingerprint(photographs) == first


def test_the_fingerprint_tells_how_masks_are_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    line = "a.png ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"
    expected = hashlib.sha256(f"masks 2\n{line}".encode()).hexdigest()
    assert saliency.fingerprint(settings(comus_saliency="folder", comus_saliency_place=tmp_path)) == expected


def test_the_fingerprint_follows_links_to_folders(photographs, tmp_path):
    first = saliency.fingerprint(photographs)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "four.png").write_bytes((tmp_path / "masks" / "two.png").read_bytes())
    (tmp_path / "masks" / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert saliency.fingerprint(photographs) != first


def test_the_fingerprint_of_weights_is_their_files(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert saliency.fingerprint(settings(comus_saliency="basnet", comus_saliency_place=file)) == known
    for kind in ("dino", "lost"):
        assert saliency.fingerprint(settings(comus_saliency=kind)) == "timm/vit_small_patch8_224.dino"
        assert saliency.fingerprint(settings(comus_saliency=kind, comus_dino_place=file)) == known


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    for place, match in ((tmp_path / "x", "no such folder"), (tmp_path, "holds no .png file")):
        with pytest.raises(SettingsError, match=match):
            saliency.fingerprint(settings(comus_saliency="folder", comus_saliency_place=place))


def test_images_without_names_are_told(tmp_path):
    found = ready.Ready(settings(comus_saliency="folder", comus_saliency_place=tmp_path))
    with pytest.raises(DataError, match="2 images of which 0 names are known"):
        found(torch.zeros(2, 3, 32, 32), ())
