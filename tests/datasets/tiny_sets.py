"""Tiny data sets with the real folder layouts, file names, id ranges and encodings."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def photo(seed: int, width: int = 48, height: int = 36) -> np.ndarray:
    """A smooth colour picture, uint8 (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def label(seed: int, ids: list[int], width: int = 48, height: int = 36, dtype: type = np.uint8) -> np.ndarray:
    """Blocks of the given ids; each of them occurs."""
    rng = np.random.default_rng(seed)
    coarse = rng.choice(ids, (6, 8))
    coarse.flat[: len(ids)] = ids
    return np.kron(coarse, np.ones((height // 6, width // 8))).astype(dtype)


def save(path: Path, array: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def save_palette(path: Path, ids: np.ndarray) -> Path:
    """A label as VOC stores it: the id is the palette index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    palette = Image.new("P", ids.shape[::-1])
    palette.putdata(ids.ravel().tolist())
    palette.putpalette([value for k in range(256) for value in (k * 37 % 256, k * 91 % 256, 255 - k)])
    palette.save(path)
    return path


def jpeg(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def camvid(root: Path, counts: tuple[int, int] = (5, 3), layout: str = "images") -> Path:
    for split, count in zip(("train", "val"), counts, strict=True):
        images, labels, suffix = (
            (f"images/{split}", f"labels/{split}", "jpg") if layout == "images" else (split, f"{split}annot", "png")
        )
        for i in range(count):
            name = f"0001TP_{6690 + 30 * i:06d}"
            save(root / images / f"{name}.{suffix}", photo(i))
            save(root / labels / f"{name}.png", label(i, list(range(12))))
    return root


def coco(root: Path, ids: list[str], split: str = "train2017", size: tuple[int, int] = (64, 48)) -> Path:
    fine = [0, 1, 90, 91, 105, 148, 168, 181, 255]
    for i, name in enumerate(ids):
        save(root / f"images/{split}/{name}.jpg", photo(i, *size))
        save(root / f"annotations/{split}/{name}.png", label(i, fine, *size))
    return root


def cityscapes(root: Path, splits: dict[str, int]) -> Path:
    ids = [0, 1, 3, 4, 6, 7, 8, 11, 21, 23, 24, 26, 33]
    for split, count in splits.items():
        for i in range(count):
            city = "aachen" if i % 2 else "bochum"
            stem = f"{city}_{i:06d}_000019"
            save(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", photo(i, 64, 36))
            if split in ("train", "val"):
                folder = root / f"gtFine/{split}/{city}"
                save(folder / f"{stem}_gtFine_labelIds.png", label(i, ids, 64, 36))
                save(folder / f"{stem}_gtFine_instanceIds.png", label(i, [26000], 64, 36, np.uint16))
                save(folder / f"{stem}_gtFine_color.png", photo(i, 64, 36))
    return root


def voc(top: Path, splits: dict[str, list[str]]) -> Path:
    for split, names in splits.items():
        lists = top / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
        for i, name in enumerate(names):
            save(top / f"JPEGImages/{name}.jpg", photo(i))
            ids = label(i, [0, 1, 15, 20, 255])
            if split == "trainaug":
                save(top / f"SegmentationClassAug/{name}.png", ids)
            else:
                save_palette(top / f"SegmentationClass/{name}.png", ids)
    return top
