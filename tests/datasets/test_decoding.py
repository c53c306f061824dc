import contextlib
import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_sets import jpeg, photo

from picie_core.classes import CAMVID, COCO27, VOID, ClassTable
from picie_core.datasets import decoding
from picie_core.datasets.problems import Unusable

PHOTO = photo(3)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(stream, **options)  # not registered with Pillow: pi_heif is to read
    else:
        image.save(stream, kind, **options)
    return stream.getvalue()


def png(width: int, depth: int, color_type: int, row: bytes) -> bytes:
    """A PNG of one row, made by hand: Pillow writes neither 16-bit colour nor packed grey."""
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">2I5B", width, 1, depth, color_type, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


def tiff(width: int, depth: int, row: bytes, photometric: int = 1) -> bytes:
    """A grey TIFF of one row, made by hand: Pillow writes no 2 or 4 bits."""
    tags = {256: width, 257: 1, 258: depth, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1, 279: len(row)}
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    row += b"\0" * (len(row) % 2)
    return struct.pack("<2sHI", b"II", 42, 8 + len(row)) + row + struct.pack("<H", len(tags)) + fields + b"\0" * 4


def rgb(data: bytes) -> np.ndarray:
    image = decoding.read_image(data)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_rgb_is_kept():
    assert (rgb(encoded(Image.fromarray(PHOTO))) == PHOTO).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_16_bit_is_scaled(kind):
    values = np.linspace(0, 65535, 48 * 36).reshape(36, 48).astype(np.uint16)
    out = rgb(encoded(Image.fromarray(values), kind))
    assert (out[..., 0] == np.rint(values / 257)).all()
    assert (out[..., 0] == out[..., 2]).all()
    assert out.max() == 255


@pytest.mark.parametrize("most", [65535, 4095, 255])  # 12 bits: what many scanners and microscopes give
def test_grey_pgm_is_scaled_by_its_greatest_value(most):
    values = np.array([0, 1, most // 3, most - 1, most])
    binary = values.astype(">u2" if most > 255 else np.uint8).tobytes()
    expected = np.rint(values / most * 255).tolist()
    for data in (b"P5 5 1 %d\n" % most + binary, b"P2 5 1 %d\n" % most + " ".join(map(str, values)).encode()):
        assert rgb(data).tolist() == [[[value] * 3 for value in expected]]


def test_colour_16_bit_png_is_scaled():
    pixels = struct.pack(">6H", 65535, 0, 32896, 257, 514, 65278)
    assert rgb(png(2, 16, 2, pixels)).tolist() == [[[255, 0, 128], [1, 2, 254]]]


def test_grey_palette_and_one_bit():
    grey = Image.fromarray(PHOTO).convert("L")
    assert (rgb(encoded(grey)) == np.asarray(grey)[..., None]).all()
    palette = Image.fromarray(PHOTO).quantize(32)
    assert (rgb(encoded(palette)) == np.asarray(palette.convert("RGB"))).all()
    bits = Image.fromarray(np.asarray(grey) > 99)
    assert set(np.unique(rgb(encoded(bits)))) == {0, 255}


def test_cmyk():
    cmyk = Image.fromarray(PHOTO).convert("CMYK")
    assert np.abs(rgb(encoded(cmyk, "TIFF")).astype(int) - PHOTO).max() <= 1
    from_jpeg = rgb(encoded(cmyk, "JPEG", quality=98)).astype(int)  # stored inverted, as Adobe does
    assert np.abs(from_jpeg - PHOTO).mean() < 4


def test_transparency_is_laid_on_white():
    red = np.zeros((2, 3, 4), np.uint8)
    red[..., 0], red[..., 3] = 255, [255, 128, 0]
    expected = [255, 0, 0], [255, 127, 127], [255, 255, 255]
    assert rgb(encoded(Image.fromarray(red)))[0].tolist() == list(expected)
    grey = np.zeros((1, 2, 2), np.uint8)
    grey[..., 1] = [255, 0]
    grey_alpha = Image.merge("LA", [Image.fromarray(grey[..., 0]), Image.fromarray(grey[..., 1])])
    assert rgb(encoded(grey_alpha))[0].tolist() == [[0, 0, 0], [255, 255, 255]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 0, 0, 200])
    palette.putdata([0, 1])
    assert rgb(encoded(palette, transparency=0))[0].tolist() == [[255, 255, 255], [0, 0, 200]]
    keyed = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert rgb(encoded(keyed, transparency=(1, 2, 3)))[0].tolist() == [[255, 255, 255], [4, 5, 6]]


UPRIGHT = [
    (1, lambda a: a),
    (2, lambda a: a[:, ::-1]),
    (3, lambda a: a[::-1, ::-1]),
    (4, lambda a: a[::-1]),
    (5, lambda a: a.transpose(1, 0, 2)),
    (6, lambda a: np.rot90(a, -1)),
    (7, lambda a: np.rot90(a, 2).transpose(1, 0, 2)),
    (8, lambda a: np.rot90(a, 1)),
]


@pytest.mark.parametrize(("orientation", "upright"), UPRIGHT)
def test_exif_orientation(orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (rgb(encoded(Image.fromarray(PHOTO), exif=exif)) == upright(PHOTO)).all()
    assert rgb(jpeg(PHOTO, exif=exif)).shape == upright(PHOTO).shape


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_exif_that_cannot_be_read_turns_nothing(kind):
    whole, options = Image.fromarray(PHOTO), {"lossless": True} if kind == "WEBP" else {}
    data = encoded(whole, kind, exif=b"Exif\0\0garbage, and no TIFF header", **options)
    assert (rgb(data) == rgb(encoded(whole, kind, **options))).all()


def in_heif(picture: Image.Image, orientation: int = 1) -> bytes:
    """As a phone stores it: the container turns the pixels (`irot`, `imir`), and EXIF says the same once more."""
    exif, stored, stream = Image.Exif(), pillow_heif.from_pillow(picture), io.BytesIO()
    exif[0x0112] = orientation
    stored.info["exif"] = exif.tobytes()
    stored.save(stream, quality=95)
    assert (orientation in (1, 2, 4)) == (b"irot" not in stream.getvalue())  # 2, 4: mirrored alone
    return stream.getvalue()


BLOCKS = np.zeros((48, 64, 3), np.uint8)
BLOCKS[:16, :32, 0], BLOCKS[16:, 32:, 1] = 240, 200


@pytest.mark.parametrize(("orientation", "upright"), UPRIGHT)
def test_heif_is_turned_once(tmp_path, orientation, upright):
    data = in_heif(Image.fromarray(BLOCKS), orientation)
    seen = rgb(data).astype(int)
    assert seen.shape == upright(BLOCKS).shape
    assert np.abs(seen - upright(BLOCKS)).mean() < 4
    (tmp_path / "a.heic").write_bytes(data)
    assert decoding.upright_size(tmp_path / "a.heic") == seen.shape[1::-1]


def test_phones_and_cameras_formats():
    for kind, options, most in (("HEIF", {"quality": 98}, 3), ("AVIF", {"quality": 98}, 3), ("JPEG2000", {}, 0)):
        smooth = np.asarray(Image.fromarray(BLOCKS).resize((128, 96), Image.Resampling.BICUBIC))
        grey = Image.fromarray(smooth).convert("L")
        assert np.abs(rgb(encoded(Image.fromarray(smooth), kind, **options)).astype(int) - smooth).mean() <= most, kind
        assert np.abs(rgb(encoded(grey, kind, **options)).astype(int) - np.asarray(grey)[..., None]).mean() <= most
        clear = Image.fromarray(np.dstack([smooth, np.zeros((96, 128), np.uint8)]))
        assert rgb(encoded(clear, kind, **options)).min() >= 250, kind  # laid on white
        with pytest.raises(Unusable, match=f"is a {kind}: lossy compression changes label ids"):
            decoding.read_label(encoded(grey, kind, **options))


def test_upright_size_is_that_of_what_is_read(tmp_path):
    for kind in ("JPEG", "PNG", "TIFF", "AVIF"):
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            data = encoded(Image.fromarray(BLOCKS), kind, exif=exif)
            (tmp_path / "a").write_bytes(data)
            assert decoding.upright_size(tmp_path / "a") == decoding.read_image(data).size, (kind, orientation)
    (tmp_path / "a").write_bytes(b"GIF99")
    with pytest.raises(Unusable, match="not an image of a known format"):
        decoding.upright_size(tmp_path / "a")
    exif = Image.Exif()
    exif[0x0112] = 8
    (tmp_path / "a").write_bytes(encoded(Image.fromarray(BLOCKS), "TIFF", exif=exif)[:-2000])
    with pytest.raises(Unusable, match="does not decode"):
        decoding.upright_size(tmp_path / "a")


@pytest.mark.parametrize("values", [np.ones((4, 4), np.float32), np.ones((4, 4), np.int32) * 70000])
def test_pixels_without_a_white_are_refused(values):
    with pytest.raises(Unusable, match="32-bit"):
        decoding.read_image(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(
    st.sampled_from(["JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP", "HEIF", "AVIF", "JPEG2000"]),
    st.integers(0, 10**6),
    st.binary(max_size=9),
)
def test_damage_is_told_and_nothing_else_is_raised(kind, place, junk):
    data = bytearray(encoded(Image.fromarray(PHOTO), kind))
    place %= len(data)
    data[place : place + len(junk)] = junk
    for damaged in (bytes(data), bytes(data[:place])):
        with contextlib.suppress(Unusable):
            assert decoding.read_image(damaged).mode == "RGB"


def test_large_photographs_are_read_and_larger_ones_named(monkeypatch):
    data = encoded(Image.new("RGB", (40, 30)), "PNG")
    assert Image.MAX_IMAGE_PIXELS == 2**28  # Pillow itself refuses twice as many
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 30 // 2)
    with pytest.warns(Image.DecompressionBombWarning):
        assert decoding.read_image(data).size == (40, 30)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 30 // 2 - 1)
    with pytest.raises(Unusable, match="has more than 537 million pixels, by its header: make it smaller"):
        decoding.read_image(data)


def test_empty_and_truncated():
    with pytest.raises(Unusable, match="empty"):
        decoding.read_image(b"")
    with pytest.raises(Unusable, match="truncated"):
        decoding.read_image(jpeg(PHOTO)[:-200])
    with pytest.raises(Unusable, match="not an image"):
        decoding.read_image(b"<html>404</html>")


IDS = np.arange(12, dtype=np.uint8).reshape(3, 4)


def read_ids(data: bytes) -> np.ndarray:
    return np.asarray(decoding.read_label(data))


def test_labels_keep_their_ids_in_every_encoding():
    palette = Image.new("P", (4, 3))
    palette.putdata(IDS.ravel().tolist())
    palette.putpalette([250 - i for i in range(36)])
    sixteen = Image.fromarray(IDS.astype(np.uint16) * 1000)
    assert (read_ids(encoded(Image.fromarray(IDS))) == IDS).all()
    assert (read_ids(encoded(palette)) == IDS).all()
    assert (read_ids(encoded(palette, bits=4)) == IDS).all()
    assert (read_ids(encoded(sixteen)) == IDS.astype(int) * 1000).all()
    assert (read_ids(encoded(Image.fromarray(IDS > 5))) == (IDS > 5)).all()


@pytest.mark.parametrize("depth", [2, 4])
def test_packed_grey_labels_keep_their_ids(depth):
    # what an optimiser such as oxipng makes of a label map with few ids
    ids = list(range(2**depth))
    packed = bytes(
        sum(ids[i + j] << (8 - depth * (j + 1)) for j in range(8 // depth)) for i in range(0, len(ids), 8 // depth)
    )
    assert read_ids(png(len(ids), depth, 0, packed)).tolist() == [ids]
    assert read_ids(tiff(len(ids), depth, packed)).tolist() == [ids]


@pytest.mark.parametrize("depth", [2, 4, 8])
def test_a_tiff_label_in_which_0_is_white_is_refused(depth):
    assert read_ids(tiff(1, depth, b"\0")).tolist() == [[0]]
    with pytest.raises(Unusable, match="a TIFF in which 0 is white, not id 0: save it with 0 as black, or as PNG"):
        decoding.read_label(tiff(1, depth, b"\0", photometric=0))


@pytest.mark.parametrize("options", [{}, {"compression": "group4"}])  # as faxes are stored, in which 0 is white
def test_a_tiff_mask_of_one_bit_is_1_where_it_is_white(options):
    assert (read_ids(encoded(Image.fromarray(IDS > 5), "TIFF", **options)) == (IDS > 5)).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(Image.fromarray(PHOTO)), "colour picture"),
        (jpeg(IDS), "JPEG"),
        (b"", "empty"),
        (encoded(Image.fromarray(IDS))[:-30], "does not decode"),
    ],
)
def test_labels_that_are_none(data, reason):
    with pytest.raises(Unusable, match=reason):
        decoding.read_label(data)


@pytest.mark.parametrize("orientation", [*range(1, 9), 0, 9])
def test_a_tiff_label_that_would_be_turned_is_refused(orientation):
    ids = np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(ids), "TIFF", exif=exif)
    if 2 <= orientation <= 8:
        with pytest.raises(Unusable, match=f"a TIFF with EXIF orientation {orientation}, .*: save it as PNG, upright"):
            decoding.read_label(data)
    else:
        assert (read_ids(data) == ids).all()
    assert (read_ids(encoded(Image.fromarray(ids), exif=exif)) == ids).all()  # a PNG is not turned


def test_to_classes_against_numpy():
    ids = np.array([[0, 90, 91], [181, 255, 148]], np.uint8)
    for label in (Image.fromarray(ids), Image.fromarray(ids.astype(np.int32))):
        out = np.asarray(decoding.to_classes(label, COCO27))
        assert out.tolist() == [[COCO27.ids.get(int(i), VOID) for i in row] for row in ids]
        assert out.dtype == np.uint8


def test_ids_beyond_a_byte():
    table = ClassTable("t", ("a", "b"), {-3: 0, 70000: 1}, frozenset({5}), frozenset(), np.zeros((2, 3), np.uint8))
    ids = np.array([[-3, 70000, 5]], np.int32)
    assert np.asarray(decoding.to_classes(Image.fromarray(ids), table)).tolist() == [[0, 1, 255]]


def test_unknown_ids_are_named():
    with pytest.raises(Unusable, match=r"label id 12, 200, not in the table camvid \(0 to 10; void: 11\)"):
        decoding.to_classes(Image.fromarray(np.array([[0, 12, 11, 200]], np.uint8)), CAMVID)
