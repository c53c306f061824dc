"""Every way in which data can be wrong names the file, the reason, and how many more there are."""

import logging

import numpy as np
import pytest
import tiny_sets
from PIL import Image

from picie_core.datasets import BadImages, DataError, making, prepare


@pytest.fixture
def root(tmp_path):
    return tiny_sets.camvid(tmp_path / "camvid")


FIRST = "0001TP_006690"


def train(root, **options):
    return prepare("camvid", root=root, size=16, progress=False, **options)


def test_unknown_data_set_suggests_the_nearest():
    with pytest.raises(DataError, match="no data set is called 'camvit': did you mean 'camvid'"):
        prepare("camvit")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"split": "vall"}, "camvid has no split 'vall': did you mean 'val'"),
        ({"on_bad_image": "ignore"}, 'on_bad_image is \'ignore\'; expected "error" or "skip"'),
        ({"size": 0}, "size is 0; expected at least 1"),
        ({"limit": 0}, "limit is 0"),
        ({"workers": -1}, "workers is -1"),
    ],
)
def test_wrong_arguments(root, options, reason):
    with pytest.raises(DataError, match=reason):
        prepare("camvid", root=root, **options)


def test_missing_root(tmp_path):
    with pytest.raises(DataError) as error:
        train(tmp_path / "nowhere")
    message = str(error.value)
    assert f"there is no folder {tmp_path / 'nowhere'}" in message
    assert "images/train/NAME.jpg   labels/train/NAME.png" in message
    assert "data/README.md" in message


def test_usual_place_is_used_and_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PICIE_HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"there is no folder .*data/camvid"):
        prepare("camvid")
    tiny_sets.camvid(tmp_path / "data" / "camvid")
    assert len(prepare("camvid", size=16, progress=False)) == 5
    with pytest.raises(DataError, match="folder needs to be told its folder"):
        prepare("folder")


def test_missing_folder_says_what_is_missing_and_what_is_there(root):
    (root / "labels" / "train").rename(root / "labels" / "training")
    with pytest.raises(DataError) as error:
        train(root)
    message = str(error.value)
    assert f"camvid, split train: not there: {root / 'labels' / 'train'}. {root} holds images, labels" in message
    assert "images/train/NAME.jpg" in message


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("camvid", ["images/train", "labels/train"]),
        ("coco27", ["images/train2017", "annotations/train2017"]),
        ("cityscapes27", ["leftImg8bit/test", "leftImg8bit/train_extra"]),
        ("cityscapes27_standard", ["leftImg8bit/train", "gtFine/train"]),
        ("voc21", ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation/train.txt"]),
    ],
)
def test_an_empty_folder_lacks_everything(tmp_path, name, missing):
    with pytest.raises(DataError) as error:
        prepare(name, root=tmp_path, progress=False)
    assert all(part in str(error.value) for part in missing)


def test_empty_split(root, tmp_path):
    for path in (root / "images" / "train").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="camvid, split train: no image found under"):
        train(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="folder, split val: no image found"):
        prepare("folder", root=tmp_path / "empty", split="val")


def damage(root, what: str) -> str:
    """Spoils the first image or label of the train split; returns the start of the line that must tell of it."""
    image, label = root / f"images/train/{FIRST}.jpg", root / f"labels/train/{FIRST}.png"
    if what == "no label":
        label.unlink()
        return f"images/train/{FIRST}.jpg: image without label: labels/train/{FIRST}.png is not there"
    if what == "no image":
        image.unlink()
        return f"labels/train/{FIRST}.png: label without image: no images/train/{FIRST}.*"
    if what == "truncated image":
        image.write_bytes(image.read_bytes()[:-120])
        return f"images/train/{FIRST}.jpg: does not decode (image file is truncated"
    if what == "zero-byte image":
        image.write_bytes(b"")
        return f"images/train/{FIRST}.jpg: is empty (0 bytes)"
    if what == "zero-byte label":
        label.write_bytes(b"")
        return f"labels/train/{FIRST}.png: is empty (0 bytes)"
    if what == "truncated label":
        label.write_bytes(label.read_bytes()[:-40])
        return f"labels/train/{FIRST}.png: does not decode"
    if what == "no picture":
        image.write_bytes(b"<html>404 not found</html>")
        return f"images/train/{FIRST}.jpg: is not an image of a known format"
    if what == "folder for a file":
        image.unlink()
        image.mkdir()
        return f"labels/train/{FIRST}.png: label without image"
    if what == "unknown id":
        tiny_sets.save(label, tiny_sets.label(0, [0, 1, 42]))
        return f"labels/train/{FIRST}.png: holds label id 42, not in the table camvid (0 to 10; void: 11)"
    if what == "label size":
        tiny_sets.save(label, tiny_sets.label(0, [0, 1], 40, 36))
        return f"labels/train/{FIRST}.png: label is 40 x 36 but the image images/train/{FIRST}.jpg is 48 x 36"
    if what == "rotated image":
        exif = Image.Exif()
        exif[0x0112] = 6
        tiny_sets.save(image, tiny_sets.photo(0), exif=exif)
        return f"labels/train/{FIRST}.png: label is 48 x 36 but the image images/train/{FIRST}.jpg is 36 x 48; one is"
    if what == "colour label":
        tiny_sets.save(label, tiny_sets.photo(0))
        return f"labels/train/{FIRST}.png: is a colour picture (mode RGB)"
    raise AssertionError(what)


DAMAGES = (
    "no label", "no image", "truncated image", "zero-byte image", "zero-byte label", "truncated label", "no picture",
    "folder for a file", "unknown id", "label size", "rotated image", "colour label",
)  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_error_names_file_and_reason(root, what):
    line = damage(root, what)
    with pytest.raises(BadImages) as error:
        train(root)
    assert f"under {root}: 1 of 5 cannot be used\n  {line}" in str(error.value)
    assert 'on_bad_image="skip"' in str(error.value)
    with pytest.raises(BadImages):  # nothing was left behind that a second call takes for whole
        train(root)


@pytest.mark.parametrize("what", DAMAGES)
def test_skip_leaves_out_and_lists(root, what, caplog):
    whole = train(root)
    line = damage(root, what)
    with caplog.at_level(logging.WARNING):
        data = train(root, on_bad_image="skip")
    assert "left out 1 images or labels" in caplog.text
    assert data.names == whole.names[1:]
    assert (data.images[:] == whole.images[1:]).all()
    assert (data.labels[:] == whole.labels[1:]).all()
    ((file, reason),) = data.manifest["skipped"]
    assert f"{file}: {reason}".startswith(line)
    assert data.manifest["count"] == 4
    with pytest.raises(BadImages, match="1 of"):  # what was skipped once is no silent success later
        train(root)


def test_error_counts_the_others(root):
    for path in sorted((root / "images" / "train").iterdir()):
        path.write_bytes(b"")
    for count in range(5):
        tiny_sets.save(root / f"images/train/z{count}.jpg", tiny_sets.photo(count))
        tiny_sets.save(root / f"labels/train/z{count}.png", tiny_sets.label(count, [99]))
    with pytest.raises(BadImages) as error:
        train(root)
    assert "10 of 10 cannot be used" in str(error.value)
    assert str(error.value).count("is empty") == 5
    assert "  and 5 more\n" in str(error.value)
    assert len(error.value.problems) == 10


def test_looking_stops_after_many(root, monkeypatch):
    monkeypatch.setattr(making, "STOP_AFTER", 3)
    for path in (root / "images" / "train").iterdir():
        path.write_bytes(b"")
    with pytest.raises(BadImages, match="at least 3 of 3 cannot be used") as error:
        train(root)
    assert "stopped looking after 3" in str(error.value)


def test_nothing_left_is_an_error_also_when_skipping(root):
    for path in (root / "images" / "train").iterdir():
        path.write_bytes(b"")
    with pytest.raises(BadImages, match="5 of 5"):
        train(root, on_bad_image="skip")
    for path in (root / "labels" / "train").iterdir():
        path.unlink()
    with pytest.raises(BadImages, match="5 of 5"):
        train(root, on_bad_image="skip")


def test_a_limit_looks_only_at_what_it_takes(root):
    damage(root, "zero-byte image")
    assert len(train(root, limit=2, on_bad_image="skip")) == 1  # the first and the third of five
    (root / f"images/train/{FIRST}.jpg").unlink()
    (root / f"labels/train/{FIRST}.png").unlink()
    tiny_sets.save(root / "images/train/zzz.jpg", np.zeros((2, 2, 3), np.uint8))  # without label, and not taken
    tiny_sets.save(root / "labels/train/stray.png", np.zeros((2, 2), np.uint8))
    assert train(root, limit=2).names == ["0001TP_006720", "0001TP_006780"]


def test_odd_images_are_converted_not_refused(tmp_path):
    photo = Image.fromarray(tiny_sets.photo(0))
    root = tmp_path / "odd"
    root.mkdir()
    photo.convert("CMYK").save(root / "cmyk.jpg")
    photo.convert("L").save(root / "grey.jpg")
    palette = photo.quantize(64)
    palette.save(root / "palette.png")
    photo.convert("RGBA").save(root / "rgba.png")
    Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257).save(root / "sixteen.png")
    data = prepare("folder", root=root, size=36, progress=False)
    plain = np.asarray(photo)[:, 6:42].astype(int)
    grey = np.asarray(photo.convert("L"))[:, 6:42, None].astype(int)
    by_name = dict(zip(data.names, data.images[:].astype(int), strict=True))
    assert np.abs(by_name["cmyk.jpg"] - plain).mean() < 6
    assert np.abs(by_name["grey.jpg"] - grey).mean() < 3
    assert (by_name["palette.png"] == np.asarray(palette.convert("RGB"))[:, 6:42]).all()
    assert (by_name["rgba.png"] == plain).all()
    assert (by_name["sixteen.png"] == grey).all()
