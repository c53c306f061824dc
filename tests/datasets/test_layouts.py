"""Each data set on a tiny copy that has the real folders, names, ids and encodings."""

from pathlib import Path

import numpy as np
import pytest
import tiny_sets
from PIL import Image

from picie_core import scenes
from picie_core.classes import CAMVID, CITYSCAPES27, COCO27, COCO_STUFF15, TABLES, VOC21, VOID, ClassTable
from picie_core.datasets import DATASETS, BadImages, DataError, coco, framing, prepare
from picie_core.datasets.listing import ALBUM_MARK, IMAGE_SUFFIXES, UNREAD_SUFFIXES, files_in, photographs

README = Path(__file__).parents[2] / "data" / "README.md"


def expected(image: np.ndarray, label: np.ndarray, table: ClassTable, size: int, rule=framing.short_side):
    """Image and label as they should come out, the label by plain numpy."""
    height, width = label.shape
    frame = rule(width, height, size)
    lut = np.array([table.ids.get(i, VOID) for i in range(256)], np.uint8)
    return framing.of_image(frame, Image.fromarray(image), size), framing.of_label(frame, lut[label], size)


@pytest.mark.parametrize("layout", ["images", "segnet"])
def test_camvid(tmp_path, layout):
    root = tiny_sets.camvid(tmp_path / "camvid", (5, 3), layout)
    train = prepare("camvid", root=root, size=24, progress=False)
    val = prepare("camvid", root=root, split="val", size=24, progress=False)
    assert (len(train), len(val)) == (5, 3)
    assert train.names[:2] == ["0001TP_006690", "0001TP_006720"]
    assert train.classes == CAMVID
    assert (train.images.shape, train.labels.shape) == ((5, 24, 24, 3), (5, 24, 24))
    for i in range(5):
        image, label = expected(tiny_sets.photo(i), tiny_sets.label(i, list(range(12))), CAMVID, 24)
        assert (train.labels[i] == label).all()
        if layout == "segnet":  # PNG; the other is JPEG
            assert (train.images[i] == image).all()
        assert np.abs(train.images[i].astype(int) - image).mean() < 6
    assert set(np.unique(train.labels[:])) == {*range(11), VOID}


@pytest.mark.parametrize(
    ("name", "table", "rule"),
    [("coco27", COCO27, framing.short_side), ("coco_stuff15", COCO_STUFF15, framing.third_scale)],
)
def test_coco(tmp_path, name, table, rule):
    ids = coco.curated("train")
    chosen = [ids[i * len(ids) // 4] for i in range(4)]
    root = tiny_sets.coco(tmp_path / "coco", [*chosen, "000000000001"])  # the last is not on the list
    data = prepare(name, root=root, size=32, limit=4, progress=False)
    assert data.names == chosen
    assert data.classes == table
    fine = [0, 1, 90, 91, 105, 148, 168, 181, 255]
    for i in range(4):
        _, label = expected(tiny_sets.photo(i, 64, 48), tiny_sets.label(i, fine, 64, 48), table, 32, rule)
        assert (data.labels[i] == label).all()
    if name == "coco_stuff15":  # a third of the scale: the image fills 21 % of the square, the rest is void
        frame = rule(64, 48, 32)
        assert (frame.width, frame.height) == (5, 4)
        assert (data.labels[:] == VOID).mean() > 0.9
        assert data.labels[:][data.labels[:] != VOID].max() < 15


def test_coco_needs_what_the_list_names(tmp_path):
    root = tiny_sets.coco(tmp_path, coco.curated("val")[:2], "val2017")
    with pytest.raises(ValueError, match="2173 of 2175 cannot be used") as error:
        prepare("coco27", root=root, split="val", progress=False)
    assert "images/val2017/000000000785.jpg: is named by the list of the split, but is not there" in str(error.value)
    assert "and 2168 more" in str(error.value)


@pytest.mark.parametrize("name", ["coco27", "coco_stuff15"])
def test_a_part_of_the_curated_images_is_said_to_be(tmp_path, name, caplog):
    """The list names them all, so that the part shows where some are left out: missing, or no images."""
    *whole, odd = coco.curated("val")[:3]
    root = tiny_sets.coco(tmp_path, [*whole, odd], "val2017")
    (root / "images/val2017" / f"{odd}.jpg").write_bytes(b"no image")
    prepare(name, root=root, split="val", size=32, on_bad_image="skip", progress=False)
    assert "2 images, and the published split has 2175: scores are not comparable with published ones" in caplog.text


def test_the_published_counts_are_those_of_the_lists_and_of_the_readme():
    for name in ("coco27", "coco_stuff15"):
        counts = DATASETS[name].published
        assert {split: counts[split] for split in ("train", "val")} == {
            s: len(coco.curated(s)) for s in ("train", "val")
        }
    assert DATASETS["coco_stuff15"].published["trainval"] == 49629 + 2175
    table = (README.parents[1] / "README.md").read_text()
    for dataset in DATASETS.values():
        assert set(dataset.published) <= set(dataset.splits)
        if dataset.published:
            row = next(line for line in table.splitlines() if line.startswith("|") and f"`{dataset.name}`" in line)
            assert f"{dataset.published['train']:,} / {dataset.published['val']:,}" in row


def test_stuff15_trains_and_tests_on_both_in_iics_protocol(tmp_path):
    tiny_sets.coco(tmp_path, coco.curated("train")[:1])
    tiny_sets.coco(tmp_path, coco.curated("val")[:1], "val2017")
    listing = DATASETS["coco_stuff15"].list_split(tmp_path, "trainval", None)
    assert len(listing.items) == 49629 + 2175


def test_cityscapes_by_both_protocols(tmp_path):
    root = tiny_sets.cityscapes(tmp_path, {"train": 3, "val": 2, "test": 2, "train_extra": 4})
    sets = {
        (name, split): prepare(name, root=root, split=split, size=16, progress=False)
        for name in ("cityscapes27", "cityscapes27_standard")
        for split in ("train", "val")
    }
    counts = {key: (len(data), data.labels is not None) for key, data in sets.items()}
    assert counts == {
        ("cityscapes27", "train"): (6, False),  # test + train_extra
        ("cityscapes27", "val"): (5, True),  # val + train
        ("cityscapes27_standard", "train"): (3, True),
        ("cityscapes27_standard", "val"): (2, True),
    }
    val = sets["cityscapes27_standard", "val"]
    assert val.names == ["aachen_000001_000019", "bochum_000000_000019"]
    ids = [0, 1, 3, 4, 6, 7, 8, 11, 21, 23, 24, 26, 33]
    for row, i in enumerate((1, 0)):
        image, label = expected(tiny_sets.photo(i, 64, 36), tiny_sets.label(i, ids, 64, 36), CITYSCAPES27, 16)
        assert (val.images[row] == image).all()
        assert (val.labels[row] == label).all()
    assert sets["cityscapes27", "train"].manifest["frequencies"] is None
    assert sets["cityscapes27", "val"].manifest["source"]["published"] == 3475


@pytest.mark.parametrize("above", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_voc(tmp_path, above):
    names = ["2007_000032", "2007_000039"]
    tiny_sets.voc(tmp_path / above, {"train": names, "val": names[:1], "trainaug": ["2008_000002", *names]})
    train = prepare("voc21", root=tmp_path, size=24, progress=False)
    assert (train.names, len(prepare("voc21", root=tmp_path, split="val", size=24, progress=False))) == (names, 1)
    ids = [0, 1, 15, 20, 255]
    for i in range(2):
        _, label = expected(tiny_sets.photo(i), tiny_sets.label(i, ids), VOC21, 24)
        assert (train.labels[i] == label).all()
    assert len(prepare("voc21", root=tmp_path, split="trainaug", size=24, progress=False)) == 3


@pytest.mark.parametrize(("name", "year", "other"), [("voc21", 2012, 2007), ("voc21_2007", 2007, 2012)])
def test_voc_of_the_other_year_is_refused(tmp_path, monkeypatch, name, year, other):
    root = tiny_sets.voc(tmp_path / f"VOC{other}", {"train": ["2007_000032"]})
    right = {2012: "voc21", 2007: "voc21_2007"}[other]
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(root)
    for place in (root, tmp_path / "link", "."):
        with pytest.raises(
            DataError, match=f"folder of PASCAL VOC {other}, and {name} is of {year}: take the data set {right}, "
        ):
            prepare(name, root=place, size=24, progress=False)
    assert len(prepare(right, root=root, size=24, progress=False)) == 1
    tiny_sets.voc(tmp_path / f"VOC{year}", {"train": ["2007_000032"]})
    assert len(prepare(name, root=tmp_path, size=24, progress=False)) == 1  # both are there


def test_voc_lists_with_paths(tmp_path):
    tiny_sets.voc(tmp_path, {"trainaug": ["2008_000002"]})
    (tmp_path / "ImageSets/Segmentation/trainaug.txt").write_text(
        "/JPEGImages/2008_000002.jpg /SegmentationClassAug/2008_000002.png\n"
    )
    assert prepare("voc21", root=tmp_path, split="trainaug", size=24, progress=False).names == ["2008_000002"]


@pytest.mark.parametrize("name", ["scenes", "scenes_b"])
def test_scenes(name):
    train = prepare(name, size=32, limit=3, progress=False)
    val = prepare(name, split="val", size=32, limit=2, progress=False)
    family = "b" if name.endswith("b") else "a"
    for data, first in ((train, 0), (val, 1_000_000)):
        for i in range(len(data)):
            image, label = scenes.render(first + i, 32, family)
            assert (data.images[i] == image).all()
            assert (data.labels[i] == label).all()
    assert train.names == [f"{family}-000000", f"{family}-000001", f"{family}-000002"]
    assert train.classes is not None
    assert train.classes.names == scenes.CLASS_NAMES
    assert train.fingerprint != val.fingerprint


def test_folder_of_anything(tmp_path):
    root = tmp_path / "photographs"
    tiny_sets.save(root / "a.JPG", tiny_sets.photo(0, 50, 30))
    tiny_sets.save(root / "deep/er/b.png", tiny_sets.photo(1, 20, 70))
    tiny_sets.save(root / "deep/c.tiff", tiny_sets.photo(2)[..., 0])
    tiny_sets.save(root / "._a.JPG", tiny_sets.photo(3))
    tiny_sets.save(root / ".thumbnails/a.png", tiny_sets.photo(3))
    (root / "notes.txt").write_text("not an image")
    train, val = (prepare("folder", root=root, split=split, size=16, progress=False) for split in ("train", "val"))
    assert train.names == ["a.JPG", "deep/c.tiff", "deep/er/b.png"]
    assert train.labels is None
    assert train.classes is None
    assert (train.images[:] == val.images[:]).all()
    assert train.fingerprint == val.fingerprint


def labelled_folder(root: Path, split: str = "") -> Path:
    for i, ids in enumerate(([3, 7], [3, 200, 255])):
        tiny_sets.save(root / "images" / split / f"sub/{i}.jpg", tiny_sets.photo(i))
        tiny_sets.save(root / "labels" / split / f"sub/{i}.png", tiny_sets.label(i, ids))
    return root


def test_folder_with_labels(tmp_path):
    data = prepare("folder", root=labelled_folder(tmp_path), size=16, progress=False)
    assert data.classes is not None
    assert data.classes.names == ("class 3", "class 7", "class 200")
    assert set(np.unique(data.labels[0])) == {0, 1}
    assert set(np.unique(data.labels[1])) == {0, 2, VOID}


def test_folder_with_splits_has_one_table(tmp_path):
    labelled_folder(tmp_path, "train")
    tiny_sets.save(tmp_path / "images/val/x.png", tiny_sets.photo(5))
    tiny_sets.save(tmp_path / "labels/val/x.png", tiny_sets.label(5, [7, 9]))
    tables = [prepare("folder", root=tmp_path, split=s, size=16, progress=False).classes for s in ("train", "val")]
    assert tables[0] == tables[1]
    assert tables[0] is not None
    assert tables[0].names == ("class 3", "class 7", "class 9", "class 200")


def test_folder_with_a_new_id_in_the_other_split(tmp_path):
    labelled_folder(tmp_path, "train")
    labelled_folder(tmp_path, "val")
    before = prepare("folder", root=tmp_path, size=16, progress=False)
    tiny_sets.save(tmp_path / "labels/val/sub/0.png", tiny_sets.label(0, [5]))
    after = prepare("folder", root=tmp_path, size=16, progress=False)
    assert after.classes is not None
    assert after.classes.names == ("class 3", "class 5", "class 7", "class 200")
    assert after.fingerprint != before.fingerprint


def test_folder_with_labels_beside_loose_images(tmp_path):
    tiny_sets.save(tmp_path / "a.png", tiny_sets.photo(0))
    tiny_sets.save(tmp_path / "labels/a.png", tiny_sets.label(0, [1, 2]))
    with pytest.raises(ValueError, match=r"not there: .*images"):
        prepare("folder", root=tmp_path, size=16, progress=False)


def test_folder_with_labels_for_one_split(tmp_path):
    labelled_folder(tmp_path, "val")
    tiny_sets.save(tmp_path / "images/train/x.png", tiny_sets.photo(5))
    assert prepare("folder", root=tmp_path, split="train", size=16, progress=False).labels is None
    assert prepare("folder", root=tmp_path, split="val", size=16, progress=False).labels is not None


def test_folder_with_labels_beside_the_splits(tmp_path):
    for name in ("train/sub/0.jpg", "val/sub/1.jpg", "test/2.jpg"):
        tiny_sets.save(tmp_path / "images" / name, tiny_sets.photo(0))
    for name in ("legend.png", "test/2.png"):  # neither of them of an image of train/ or val/
        tiny_sets.save(tmp_path / "labels" / name, tiny_sets.label(0, [1]))
    assert prepare("folder", root=tmp_path, size=16, progress=False).labels is None
    for name in ("sub/0.png", "sub/1.png"):
        tiny_sets.save(tmp_path / "labels" / name, tiny_sets.label(0, [1]))
    for split, name in (("train", "0.png"), ("val", "1.png")):
        told = f"1 labels of images/{split}/ do not lie in labels/{split}/, .* such as labels/sub/{name}: move them"
        with pytest.raises(DataError, match=told):
            prepare("folder", root=tmp_path, split=split, size=16, progress=False)


def test_folder_with_two_labels_of_an_image(tmp_path):
    root = labelled_folder(tmp_path)
    tiny_sets.save(root / "labels/sub/0.bmp", tiny_sets.label(0, [3]))
    tiny_sets.save(root / "labels/sub/stray.png", tiny_sets.label(0, [3]))
    with pytest.raises(BadImages) as error:
        prepare("folder", root=root, size=16, progress=False)
    assert error.value.problems == [
        ("labels/sub/0.bmp", "another label of its image: labels/sub/0.png is there too"),
        ("labels/sub/stray.png", "label without image: no images/sub/stray.*"),
    ]


def test_folder_with_images_beside_images(tmp_path, caplog):
    root = labelled_folder(tmp_path)
    for name in ("a.jpg", "more/b.jpg", "more/still/c.png", ".thumbnails/a.png"):
        tiny_sets.save(root / name, tiny_sets.photo(0))
    (root / "images" / "d.jxl").touch()
    assert len(prepare("folder", root=root, size=16, progress=False)) == 2
    told = "images beside images/ not looked at: 2 or more; 1 file not looked at: .jxl (convert it to JPEG)"
    assert caplog.messages == [f"folder, split train: {told}"]


def test_folder_with_images_beside_its_splits(tmp_path, caplog):
    for name in ("a.jpg", "train/b.jpg", "val/c.jpg", "more/d.jpg", "segments/b.overlay.jpg"):
        tiny_sets.save(tmp_path / name, tiny_sets.photo(0))
    (tmp_path / "segments" / "index.html").write_bytes(ALBUM_MARK)
    assert len(prepare("folder", root=tmp_path, size=16, progress=False)) == 1
    assert caplog.messages == [
        f"{tmp_path / 'segments'} holds what `picie segment` has written: it is left out",
        "folder, split train: images beside train/ and val/ not looked at: 2 or more",
    ]


def test_folder_with_its_own_classes(tmp_path):
    root = labelled_folder(tmp_path)
    (root / "classes.csv").write_text("id,name,kind\n7,lawn,stuff\n3,animal,thing\n200,animal,thing\n")
    data = prepare("folder", root=root, size=16, progress=False)
    assert data.classes is not None
    assert data.classes.names == ("lawn", "animal")
    assert data.classes.things == {1}
    assert set(np.unique(data.labels[:])) == {0, 1, VOID}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name\nlawn\n", "expected the columns id, name"),
        ("id,name\nx,lawn\n", "line 2: expected a whole number"),
        ("id,name\n3,\n", "line 2: expected a whole number as id and a name"),
        ("id,name,kind\n3,lawn,plant\n", "line 2: kind is 'plant'; expected thing, stuff or void"),
        ("id,name\n3,lawn\n3,tree\n", "line 3: id 3 stands there twice"),
        ("id,name\n", "classes.csv names no class"),
        ("id,name,kind\n3,rim,void\n", "classes.csv names no class"),
    ],
)
def test_folder_with_wrong_classes(tmp_path, text, reason):
    root = labelled_folder(tmp_path)
    (root / "classes.csv").write_text(text)
    with pytest.raises(ValueError, match=reason):
        prepare("folder", root=root, size=16, progress=False)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("id,name\n3,Gebüsch\n".encode("cp1252"), r"classes\.csv is not UTF-8 .*save it as 'CSV UTF-8'"),
        (b"id,name\n3," + b"x" * 200_000, r"classes\.csv is no CSV file \(field larger than field limit"),
    ],
)
def test_folder_with_classes_that_are_no_csv_in_utf8(tmp_path, content, reason):
    root = labelled_folder(tmp_path)
    (root / "classes.csv").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        prepare("folder", root=root, size=16, progress=False)


def test_folder_with_instances_for_labels(tmp_path):
    tiny_sets.save(tmp_path / "images/a.png", tiny_sets.photo(0))
    tiny_sets.save(tmp_path / "labels/a.png", np.arange(36 * 48, dtype=np.uint16).reshape(36, 48))
    with pytest.raises(ValueError, match="1727 classes in the labels; expected 1 to 255"):
        prepare("folder", root=tmp_path, size=16, progress=False)


def test_folder_whose_labels_are_all_unusable_names_them(tmp_path):
    for name in ("a", "b"):
        tiny_sets.save(tmp_path / f"images/{name}.jpg", tiny_sets.photo(0))
        tiny_sets.save(tmp_path / f"labels/{name}.png", tiny_sets.photo(0))
    told = r"of 2 cannot be used\n  labels/a\.png: is a colour picture \(mode RGB\)"
    for choice in ("error", "skip"):
        with pytest.raises(BadImages, match=f"2 {told}"):
            prepare("folder", root=tmp_path, size=16, progress=False, on_bad_image=choice)
    tiny_sets.save(tmp_path / "labels/b.png", tiny_sets.label(0, [1]))
    with pytest.raises(BadImages, match=f"1 {told}"):
        prepare("folder", root=tmp_path, size=16, progress=False)


def test_folder_whose_labels_are_all_void(tmp_path):
    tiny_sets.save(tmp_path / "images/a.jpg", tiny_sets.photo(0))
    tiny_sets.save(tmp_path / "labels/a.png", tiny_sets.label(0, [VOID]))
    with pytest.raises(DataError, match="every pixel of its 1 labels is void"):
        prepare("folder", root=tmp_path, size=16, progress=False)


def test_photographs_in_formats_that_are_not_read_are_counted_and_named(tmp_path, caplog):
    for name in ("a.jpg", "sub/b.JXL", "sub/c.jxl", "d.NEF", ".e.jxl", "notes.txt", "no.suffix.docx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tiny_sets.save(tmp_path / name, tiny_sets.photo(0)) if name == "a.jpg" else (tmp_path / name).touch()
    found = photographs(tmp_path)
    assert found.files == [tmp_path / "a.jpg"]
    assert found.unread == "3 files not looked at: 2 .jxl, 1 .nef (convert them to JPEG)"
    assert len(prepare("folder", root=tmp_path, size=16, progress=False)) == 1
    assert f"folder, split train: {found.unread}" in caplog.messages


def test_a_photograph_in_two_formats_is_told(tmp_path, caplog):
    for name in ("a.jpg", "a.heic", "sub/a.jpg", "sub/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert len(photographs(tmp_path).files) == 4
    (told,) = caplog.messages
    assert "2 images differ in nothing but the endings of their names (a.heic, a.jpg)" in told


def test_photographs_of_one_format_that_is_not_read_are_what_an_empty_folder_holds(tmp_path):
    for name in ("a.cr2", "b.CR2"):
        (tmp_path / name).touch()
    assert photographs(tmp_path).unread == "2 files not looked at: .cr2 (convert them to JPEG)"
    (tmp_path / "b.CR2").unlink()
    with pytest.raises(ValueError, match=r"no image found .* \(1 file not looked at: \.cr2 \(convert it to JPEG\)\)"):
        prepare("folder", root=tmp_path)
    (tmp_path / "a.cr2").unlink()
    assert photographs(tmp_path) == ([], "")


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for split in ("train", "val"):
        labelled_folder(there, split)
        for kind in ("images", "labels"):
            (here / kind).mkdir(parents=True, exist_ok=True)
            (here / kind / split).symlink_to(there / kind / split)
    (there / "images" / "train" / "sub" / "back").symlink_to(here / "images")
    (there / "images" / "train" / "sub" / "nothing.jpg").symlink_to(there / "nothing")
    (there / "images" / "train" / "sub" / "itself").symlink_to(there / "images" / "train" / "sub" / "itself")
    names = [path.relative_to(here).as_posix() for path in photographs(here / "images" / "train").files]
    assert names == [
        *(f"images/train/sub/{name}" for name in ("0.jpg", "1.jpg")),
        *(f"images/train/sub/back/val/sub/{name}" for name in ("0.jpg", "1.jpg")),
    ]
    (there / "images" / "train" / "sub" / "back").unlink()
    data = [prepare("folder", root=here, split=split, size=16, progress=False) for split in ("train", "val")]
    assert data[0].names == data[1].names == ["sub/0.jpg", "sub/1.jpg"]
    assert data[0].labels is not None


@pytest.mark.parametrize("refused", ["iterdir", "stat"])  # without the right to list (--x), or to enter (r--)
def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch, caplog, refused):
    for name in ("a.jpg", "shut/b.jpg", "open/c.jpg"):
        tiny_sets.save(tmp_path / name, tiny_sets.photo(0))
    shut, does = tmp_path / "shut", getattr(Path, refused)

    def refuse(path: Path, **options):
        if path == shut if refused == "iterdir" else path.is_relative_to(shut) and path != shut:
            raise PermissionError(13, "Permission denied", str(path))
        return does(path, **options)

    monkeypatch.setattr(Path, refused, refuse)  # root, as whom tests may run, is refused nothing
    told = f"{shut} cannot be opened (Permission denied): what is in it is left out"
    assert photographs(tmp_path) == ([tmp_path / "a.jpg", tmp_path / "open" / "c.jpg"], told)
    assert not caplog.messages
    assert len(files_in(tmp_path, (".jpg",), deep=True)) == 2
    assert caplog.messages == [told]


def test_no_suffix_is_both_read_and_not():
    assert not set(IMAGE_SUFFIXES) & set(UNREAD_SUFFIXES)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES + UNREAD_SUFFIXES)
    assert " ".join(IMAGE_SUFFIXES) in DATASETS["folder"].layout
    assert " ".join(IMAGE_SUFFIXES) in (README.parent.parent / "README.md").read_text(encoding="utf-8")


def test_every_layout_stands_in_the_readme():
    text = README.read_text(encoding="utf-8")
    for dataset in DATASETS.values():
        assert f"`{dataset.name}`" in text, f"data/README.md has no row for {dataset.name}"
        assert dataset.layout in text, f"data/README.md does not show the layout of {dataset.name} word for word"
    assert set(TABLES) == set(DATASETS) - {"folder"}, "classes.TABLES has every data set with classes of its own"


def test_camvid_itself(camvid):
    """The real photographs; skipped unless PICIE_CAMVID names their folder."""
    val = prepare("camvid", root=camvid, split="val", size=64, progress=False)
    assert (len(val), val.names[0]) == (101, "0016E5_07959")
    share = {row["class"]: row["share"] for row in val.manifest["frequencies"]}
    # of whole images Road is 28.95 % and void 1.70 %; here it is of centre squares
    assert share["Road"] == pytest.approx(0.29, abs=0.06)
    assert share["void"] == pytest.approx(0.017, abs=0.01)
    assert val.manifest["source"]["published"] == 101
