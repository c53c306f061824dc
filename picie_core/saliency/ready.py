"""Masks that somebody made before: a folder of them, named as the images are."""

import contextlib
import hashlib
import io
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from picie_core.classes import VOID
from picie_core.datasets import decoding, framing, preparing, registry
from picie_core.datasets.listing import IMAGE_SUFFIXES, FileItem, MissingFolders, files_in
from picie_core.datasets.problems import DataError, Unusable
from picie_core.network import weights
from picie_core.saliency.interface import Saliency
from picie_core.settings import Settings, SettingsError

_log = logging.getLogger(__name__)
_SETTING = "comus_saliency_place"
_READING = "masks 2"  # of what masks are read as: part of a run's key, to be raised where `read` gives other values
_EXPECTED = "expected a grey picture without transparency, objects white on black"


class Ready(Saliency):
    """Masks from PNG files, framed as the data set's labels are.

    The mask of the image NAME is NAME.png in the folder, or below it where NAME has folders; an image's own ending, if
    NAME has one, may be left out (a/b.jpg: a/b.png or a/b.jpg.png). It is grey, objects bright, of any depth (0 and
    255, 0 and 1, a soft map), in one channel, in equal ones, or by a palette. A palette of colours, as VOC's, is read
    by its indices, background 0, where they look the brighter the higher they are. Nothing may be transparent. Black
    beyond the image where the framing pads.

    A mask must be as large as its image. That is checked where the images' files are (`data_root`); of rendered scenes
    a mask must be square. Where the images are not at hand any more, a warning says that sizes are not checked.

    Args:
        settings: `comus_saliency_place` (the folder), `dataset`, `data_root`.

    Raises:
        SettingsError: there is no such folder.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.folder = _folder(settings)
        self.dataset = registry.find(settings.dataset)
        self.root = settings.data_root

    def forward(self, images: Tensor, names: Sequence[str]) -> Tensor:
        """The masks of the images (B, 3, S, S), by their names: float32 (B, S, S), 0 to 255, on the images' device.

        Raises:
            DataError: images without names, or masks that are missing, do not decode, or are not of their image's size.
        """
        if len(names) != len(images):
            raise DataError(
                f"{_SETTING}: {len(images)} images of which {len(names)} names are known: ready masks are found by the "
                "images' names, which those outside of the data set lack. Take another comus_saliency, or a comus run"
            )
        files = [self._file(name) for name in names]
        missing = [place for place, name in zip(files, names, strict=True) if not place.is_file()]
        if missing:
            more = f", and {len(missing) - 1} more of the {len(names)} that are needed now" if len(missing) > 1 else ""
            raise DataError(
                f"{_SETTING}: no mask at {missing[0]}{more}. Expected a PNG file for each image, named as the image is"
            )
        size = images.shape[-1]
        maps = [self._framed(file, name, size) for file, name in zip(files, names, strict=True)]
        return torch.from_numpy(np.stack(maps)).to(images.device, torch.float32)

    def _file(self, name: str) -> Path:
        """The file of a mask, whether it is there or not."""
        whole = self.folder / f"{name}.png"
        bare = self.folder / name
        if bare.suffix.lower() in IMAGE_SUFFIXES and not whole.is_file():
            return bare.with_suffix(".png")
        return whole

    def _framed(self, file: Path, name: str, size: int) -> np.ndarray:
        try:
            mask = read(file.read_bytes())
        except (Unusable, OSError) as error:
            raise DataError(f"{_SETTING}: the mask {file}: {error}; replace it") from error
        height, width = mask.shape
        wanted = self._sizes(name)
        if wanted and (width, height) not in wanted:
            sizes = " or ".join(f"{w} x {h}" for w, h in sorted(wanted))
            raise DataError(f"{_SETTING}: the mask {file} is {width} x {height} pixels, its image {name} is {sizes}")
        if not self.dataset.layout and width != height:
            raise DataError(f"{_SETTING}: the mask {file} is {width} x {height} pixels; its image {name} is square")
        window = self.dataset.frame(width, height, size)
        beyond = framing.of_label(window, np.zeros_like(mask), size) == VOID
        return np.where(beyond, 0, framing.of_label(window, mask, size))

    def _sizes(self, name: str) -> set[tuple[int, int]]:
        """Width and height of the images of a name, upright (two splits may use a name); empty where not known."""
        found = set()
        for file in self._images.get(name, ()):
            with contextlib.suppress(OSError, Unusable):  # the preparation has said what is wrong with it
                found.add(decoding.upright_size(file))
        return found

    @cached_property
    def _images(self) -> dict[str, list[Path]]:
        """The data set's image files by name; empty for scenes, and where they are not at hand."""
        files: dict[str, list[Path]] = {}
        if not self.dataset.layout:
            return files
        for split in self.dataset.splits:
            try:
                root = preparing.folder_of(self.dataset, self.root)
                items = self.dataset.list_split(root, split, None).items if root.is_dir() else ()
            except (MissingFolders, DataError):  # a split that is not there
                continue
            for item in items:
                if isinstance(item, FileItem):
                    files.setdefault(item.name, []).append(item.image)
        if not files:
            _log.warning("the images of %s are not at hand: sizes of masks are not checked", self.dataset.name)
        return files


def fingerprint(settings: Settings) -> str:
    """A digest of the names and contents of the .png files in the folder and below, in linked folders too.

    Raises:
        SettingsError: there is no such folder, or none of these files.
    """
    folder = _folder(settings)
    files = sorted(path for path in files_in(folder, (".png",), deep=True) if path.suffix == ".png")
    if not files:
        raise SettingsError(f"{_SETTING}: {folder} holds no .png file; expected a mask for each image")
    lines = (f"{path.relative_to(folder).as_posix()} {weights.digest(path)}\n" for path in files)
    return hashlib.sha256(f"{_READING}\n{''.join(lines)}".encode()).hexdigest()


def read(data: bytes) -> np.ndarray:
    """The grey values of a mask (see `Ready`): uint8 (H, W). Above 255 (16 bits) they are scaled, the greatest to 255.

    Raises:
        Unusable: it does not decode, has colours or transparency, or a palette of colours that do not brighten with
            the index.
    """
    seen = np.asarray(decoding.read_image(data))
    with Image.open(io.BytesIO(data)) as image:
        if image.has_transparency_data and np.asarray(image.convert("RGBA"))[:, :, 3].min() < 255:
            raise Unusable(f"has transparency, whose brightness nobody knows; {_EXPECTED}")
        if len(image.getbands()) == 1 and image.mode != "P":
            values = np.asarray(decoding.read_label(data))
        elif (seen == seen[:, :, :1]).all():
            values = seen[:, :, 0]
        elif image.mode == "P":
            values = np.asarray(decoding.read_label(data))
            _need_brightening(image, values)
        else:
            raise Unusable(f"is a colour picture; {_EXPECTED}")
    most = int(values.max())
    return (values / most * 255 if most > 255 else values).astype(np.uint8)


def _need_brightening(image: Image.Image, indices: np.ndarray) -> None:
    """Raises `Unusable` where an index of a palette image looks no brighter than a lower one that occurs."""
    used, first = np.unique(indices, return_index=True)
    brightness = np.asarray(image.convert("RGBA").convert("L")).flat[first]
    for i in range(1, len(used)):
        if brightness[i] <= brightness[i - 1]:
            raise Unusable(
                f"has a palette of colours, in which {used[i]} (brightness {brightness[i]}) is not brighter than "
                f"{used[i - 1]} ({brightness[i - 1]}), so that nobody knows which is the object; {_EXPECTED}"
            )


def _folder(settings: Settings) -> Path:
    place = settings.comus_saliency_place
    if place is None:
        raise SettingsError(f"{_SETTING} is not given: it names the folder of masks, PNG files named as the images are")
    folder = place.expanduser()
    if not folder.is_dir():
        raise SettingsError(f"{_SETTING} = {str(place)!r}: there is no such folder; expected one of masks, PNG files")
    return folder
