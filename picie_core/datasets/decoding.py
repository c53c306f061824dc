"""From the bytes of a file to an upright 8-bit RGB image, or to a map of class indices."""

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from picie_core.classes import VOID, ClassTable
from picie_core.datasets.problems import Unusable

try:
    import pi_heif as heif
except ModuleNotFoundError:  # conda-forge has its sister alone, which writes, too
    import pillow_heif as heif

heif.register_heif_opener()

Image.MAX_IMAGE_PIXELS = 2**28
"""Phones make photographs of 200 million pixels, which Pillow by itself takes for an attack. Twice as many as here, 537
million, which take 1.6 GB, it refuses."""

# What Pillow's decoders raise on damaged files of one format or another.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, AttributeError,
    RuntimeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip

# Tags of TIFF, the last one of EXIF too.
_BITS, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274

_PNG = b"\x89PNG\r\n\x1a\n"
_LOSSY = ("AVIF", "HEIF", "JPEG", "JPEG2000", "MPO", "WEBP")


def read_image(data: bytes) -> Image.Image:
    """The image in `data` as Pillow's `RGB`, turned upright by its EXIF orientation, if that can be read.

    - greyscale, palette, CMYK, YCbCr, HSV, 1-bit: as Pillow converts them; colour profiles are not applied;
    - 16-bit greyscale: value / 257, rounded (65,535 becomes 255); PGM of other depths by its own greatest value.
      16-bit colour: Pillow keeps the high byte;
    - transparency (RGBA, greyscale with alpha, a transparent palette entry): composited on white, as on a page;
    - animations and multi-page files: the first frame; HEIC of several images: the primary one.

    Raises:
        Unusable: empty, damaged, not an image, or of a kind without a fixed white (32-bit integers, floats).
    """
    image = _open(data)
    _load(image)
    with contextlib.suppress(*_DAMAGED):  # EXIF that cannot be read, beside pixels that can
        ImageOps.exif_transpose(image, in_place=True)
    try:
        return _to_rgb(image)
    except _DAMAGED as error:
        raise Unusable(f"does not decode ({error})") from error


def upright_size(file: Path) -> tuple[int, int]:
    """Width and height of the image that `read_image` makes of a file, mostly from its header alone.

    Raises:
        Unusable: it is not an image of a known format, or what must be read of it is damaged.
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream, _opened(stream) as image:
        turned = False
        with contextlib.suppress(*_DAMAGED):  # EXIF that cannot be read
            turned = image.getexif().get(_ORIENTATION, 1) in range(5, 9)  # these swap the sides
        if turned and image.format == "TIFF":
            _load(image)  # by this at the latest, which depends on its version, Pillow turns a TIFF itself
            turned = False
        width, height = image.size
        return (height, width) if turned else (width, height)


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except _DAMAGED as error:
        raise Unusable(f"does not decode ({error})") from error


def _open(data: bytes) -> Image.Image:
    if not data:
        raise Unusable("is empty (0 bytes)")
    return _opened(io.BytesIO(data))


def _opened(stream: BinaryIO) -> Image.Image:
    try:
        return Image.open(stream)
    except UnidentifiedImageError as error:
        raise Unusable("is not an image of a known format, or its header is damaged") from error
    except Image.DecompressionBombError as error:
        raise Unusable("has more than 537 million pixels, by its header: make it smaller") from error
    except _DAMAGED as error:
        raise Unusable(f"does not decode ({error})") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    mode = image.mode
    # Pillow opens PGM of more than 8 bits, and older Pillow 16-bit PNG, as "I" of 0 to 65,535.
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if mode in ("I", "F"):
        raise Unusable(f"has 32-bit pixels (mode {mode}), whose white is not known: save it with 8 or 16 bits")
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = (image.convert("LA") if mode == "La" else image).convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image if mode == "RGB" else image.convert("RGB")


def read_label(data: bytes) -> Image.Image:
    """The label ids in `data` as an image of mode `L` (ids up to 255) or `I` (others).

    A palette image is read by its indices (as VOC stores labels), a greyscale one by its values, also where an
    optimiser has packed them into 1, 2 or 4 bits.

    Raises:
        Unusable: empty, damaged, of a lossy format (JPEG), a colour picture, or a TIFF that its EXIF orientation turns
            or in which 0 is white (a mask of 1 bit may be so: white is 1).
    """
    label = _open(data)
    try:
        tags = label.getexif() if label.format == "TIFF" else {}
        turn = tags.get(_ORIENTATION, 1)
    except _DAMAGED as error:
        raise Unusable(f"does not decode ({error})") from error
    _load(label)
    if label.format in _LOSSY:
        raise Unusable(f"is a {label.format}: lossy compression changes label ids; expected PNG")
    if turn in range(2, 9):  # Pillow has turned it, as it does with no other format
        raise Unusable(
            f"is a TIFF with EXIF orientation {turn}, and labels are read as they are stored: save it as PNG, upright "
            "as its image is when it is shown"
        )
    if label.mode not in ("L", "P", "1", "I") and not label.mode.startswith("I;16"):
        raise Unusable(f"is a colour picture (mode {label.mode}); expected one channel of label ids")
    if label.mode == "L":
        if tags and tags.get(_PHOTOMETRIC, 0) == 0:  # Pillow turns these around, as is right for pictures and 1 bit
            raise Unusable("is a TIFF in which 0 is white, not id 0: save it with 0 as black, or as PNG")
        depth = data[24] if data[:8] == _PNG else tags.get(_BITS, 8)
        if depth in (2, 4):  # Pillow stretches these to 0..255
            return label.point([value // (255 // (2**depth - 1)) for value in range(256)])
        return label
    ids = np.asarray(label)
    return Image.fromarray(ids.astype(np.uint8) if label.mode == "P" else ids.astype(np.int32))


def label_ids(label: Image.Image) -> list[int]:
    """The ids that occur in a label of `read_label`, in order."""
    if label.mode == "L":
        return [i for i, count in enumerate(label.histogram()) if count]
    return np.unique(np.asarray(label)).tolist()


def to_classes(label: Image.Image, table: ClassTable) -> Image.Image:
    """A label of `read_label` as class indices and `VOID`, mode `L`. Every pixel is checked, not only those kept.

    Raises:
        Unusable: ids that the table does not know.
    """
    present = label_ids(label)
    unknown = [i for i in present if i not in table.ids and i not in table.void]
    if unknown:
        named = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
        known = f"{min(table.ids)} to {max(table.ids)}; void: {', '.join(map(str, sorted(table.void)[:8])) or 'none'}"
        raise Unusable(f"holds label id {named}, not in the table {table.name} ({known})")
    if label.mode == "L":
        return label.point([table.ids.get(i, VOID) for i in range(256)])
    places = np.searchsorted(present, np.asarray(label))
    return Image.fromarray(np.array([table.ids.get(i, VOID) for i in present], dtype=np.uint8)[places])
