"""`segmentation`: what a folder of anybody's photographs becomes, and what is never overwritten."""

import csv
import dataclasses
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from picie_core import classes, figures, metrics, segmentation, training
from picie_core.datasets import BadImages, DataError

K = 12  # of `tiny_run`
SIDEWAYS = 6  # EXIF orientation: turn by 90 degrees to be upright


def picture(width, height, channels=3, dtype=np.uint8):
    """A sky over ground, with some noise."""
    rng = np.random.default_rng(width * height)
    top = np.iinfo(dtype).max
    pixels = rng.integers(0, top // 4, (height, width, channels), dtype=dtype)
    pixels[: height // 2, :, -1] += dtype(top // 2)
    return pixels[..., 0] if channels == 1 else pixels


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Images of many sizes and kinds, and the size (width, height) that each has when it is upright."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "holiday" / "day 1").mkdir(parents=True)

    def save(name, image, upright=None, **options):
        image.save(folder / name, **options)
        return upright or image.size

    turned = Image.Exif()
    turned[0x0112] = SIDEWAYS
    sizes = {
        "turned.jpg": save("turned.jpg", Image.fromarray(picture(90, 60)), upright=(60, 90), exif=turned),
        "portrait.jpeg": save("portrait.jpeg", Image.fromarray(picture(48, 80))),
        "alpha.png": save("alpha.png", Image.fromarray(picture(64, 50, 4))),
        "deep.png": save("deep.png", Image.fromarray(picture(70, 40, 1, np.uint16))),
        "grey.PNG": save("grey.PNG", Image.fromarray(picture(50, 50, 1))),
        "ink.jpg": save("ink.jpg", Image.fromarray(picture(60, 44)).convert("CMYK")),
        "indexed.gif": save("indexed.gif", Image.fromarray(picture(40, 40)).quantize(16)),
        "holiday/tiny.tif": save("holiday/tiny.tif", Image.fromarray(picture(20, 30))),
        "holiday/day 1/wide.2020.jpg": save("holiday/day 1/wide.2020.jpg", Image.fromarray(picture(400, 60))),
    }
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.jpg").write_bytes(b"a thumbnail of the system's")
    return folder, sizes


@pytest.fixture(scope="module")
def segmented(tiny_run, album, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "made" / "here"
    ticks = []
    file = segmentation.segment(tiny_run, album[0], out, tick=lambda *count: ticks.append(count))
    return out, file, ticks


def rows(file):
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def small(path, size=(40, 32), **options):
    """An image file that takes no time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(*size)).save(path, **options)
    return path


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- what is written


def test_every_image_has_a_map_and_an_overlay_of_its_upright_size(album, segmented):
    out, _, _ = segmented
    _, sizes = album
    made = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    stems = {name.rsplit(".", 1)[0] for name in sizes}
    assert made == {f"{s}.png" for s in stems} | {f"{s}.overlay.jpg" for s in stems} | {"clusters.csv"}
    for name, size in sizes.items():
        stem = name.rsplit(".", 1)[0]
        with Image.open(out / f"{stem}.png") as index, Image.open(out / f"{stem}.overlay.jpg") as overlay:
            assert (name, index.size, index.mode) == (name, size, "P")
            assert (name, overlay.size, overlay.mode) == (name, size, "RGB")


def test_a_map_read_back_holds_cluster_numbers_in_the_colours_of_the_table(segmented):
    out, file, _ = segmented
    colors = [row["color"] for row in rows(file)]
    for path in out.rglob("*.png"):
        with Image.open(path) as image:
            indices, rgb = np.asarray(image), np.asarray(image.convert("RGB"))
        assert indices.dtype == np.uint8
        assert indices.max() < K
        for k in np.unique(indices):
            assert {"#{:02x}{:02x}{:02x}".format(*color) for color in rgb[indices == k]} == {colors[k]}


def test_shares_are_those_of_the_maps(segmented):
    out, file, _ = segmented
    maps = [np.asarray(Image.open(path)) for path in out.rglob("*.png")]
    counts = sum(np.bincount(m.ravel(), minlength=K) for m in maps)
    table = rows(file)
    assert [int(row["cluster"]) for row in table] == list(range(K))
    assert [int(row["pixels"]) for row in table] == counts.tolist()
    assert [int(row["images"]) for row in table] == [sum(k in m for m in maps) for k in range(K)]
    assert [float(row["share"]) for row in table] == pytest.approx(100 * counts / counts.sum(), abs=5e-4)
    assert sum(float(row["share"]) for row in table) == pytest.approx(100, abs=K * 5e-4)


def test_progress_counts_every_image(album, segmented):
    assert segmented[2] == [(done, len(album[1])) for done in range(1, len(album[1]) + 1)]


def test_an_image_turned_by_exif_is_segmented_upright(tiny_run, tmp_path):
    pixels = picture(60, 90)
    turned = Image.Exif()
    turned[0x0112] = SIDEWAYS
    Image.fromarray(pixels).save(tmp_path / "upright.png")
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "sideways.png", exif=turned)
    segmentation.segment(tiny_run, tmp_path, tmp_path.parent / "maps")
    upright, sideways = (np.asarray(Image.open(tmp_path.parent / "maps" / f"{n}.png")) for n in ("upright", "sideways"))
    assert upright.shape == (90, 60)
    assert np.array_equal(upright, sideways)


def test_an_image_of_the_runs_own_size_is_segmented_as_in_evaluation(tiny_run):
    _, val = training.splits(tiny_run.settings)
    method, fabric = training.restore(tiny_run)
    matrix = np.zeros((len(val.classes), K), dtype=np.int64)
    for image, labels in zip(val.images[:], val.labels[:], strict=True):
        found = segmentation.segment_image(method, image, tiny_run.settings.image_size, fabric.device)
        matrix += metrics.confusion(labels, found, len(val.classes), K)
    # Not every pixel: of logits that are equal but for rounding, one strip may take the one and evaluation the other.
    assert np.abs(matrix - tiny_run.confusion).sum() <= 0.002 * matrix.sum()


def test_one_image_may_be_given_and_its_maps_stand_below_its_folder(tiny_run, tmp_path):
    image = small(tmp_path / "photo.jpg")
    small(tmp_path / "other.jpg")
    segmentation.segment(tiny_run, image, tmp_path / "maps")
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {"photo.png", "photo.overlay.jpg", "clusters.csv"}


def test_the_overlay_is_the_image_where_it_is_not_the_cluster(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(segmentation, "STRIP", 40 * 3 * 7)  # seven rows at a time
    image, clusters = picture(40, 32), np.zeros((32, 40), dtype=np.uint8)
    palette = figures.colors(K)
    (tmp_path / "drawn.jpg").write_bytes(segmentation._overlay_jpeg(image, clusters, palette))
    drawn = np.asarray(Image.open(tmp_path / "drawn.jpg")).astype(float)
    expected = 0.55 * palette[0] + 0.45 * image
    assert np.abs(drawn - expected).mean() < 12  # JPEG


def test_maps_of_more_than_256_clusters_are_16_bit(tmp_path):
    clusters = np.array([[0, 255], [256, 300]], dtype=np.uint16)
    (tmp_path / "map.png").write_bytes(segmentation._index_png(clusters, figures.colors(301)))
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
        patch.setattr(segmentation, "STRIP", strip)
        slices = list(segmentation._strips(height, width * 3))
    pieces = [segmentation._upsampled(logits, rows, height, width) for rows in slices]
    assert torch.allclose(torch.cat(pieces, dim=2), whole, atol=1e-5)
    assert all(piece.numel() <= max(strip, width * 3) for piece in pieces)


class Stripes:
    """Twenty clusters, in stripes across the image."""

    def logits(self, images):
        height, width = images.shape[-2:]
        stripe = torch.linspace(0, 19.99, height // 4)[:, None].expand(-1, width // 4)
        return {"final": -(stripe - torch.arange(20)[:, None, None]).abs()[None]}


def test_a_large_photograph_is_upsampled_piece_by_piece(monkeypatch):
    """24 megapixels and 20 clusters would be 1.9 GB of logits; at no time is more than one strip of them there."""
    sizes, strips, together = [], weakref.WeakSet(), []
    real = segmentation._upsampled

    def upsampled(*args):
        strip = real(*args)
        sizes.append(strip.numel())
        strips.add(strip)
        together.append(len(strips))
        return strip

    monkeypatch.setattr(segmentation, "_upsampled", upsampled)
    photograph = np.zeros((1200, 1600, 3), dtype=np.uint8)
    monkeypatch.setattr(segmentation, "STRIP", 2**20)
    clusters = segmentation.segment_image(Stripes(), photograph, 128, torch.device("cpu"))
    assert len(sizes) > 30
    assert max(sizes) <= 2**20
    assert max(together) == 1
    assert clusters.shape == (1200, 1600)
    assert clusters.dtype == np.uint8
    assert np.unique(clusters).tolist() == list(range(20))
    assert (np.diff(clusters[:, 0].astype(int)) >= 0).all()


# -- names of files


def test_images_that_differ_in_their_ending_alone_keep_it(tiny_run, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    sizes = {"a.jpg": (40, 32), "a.png": (36, 44), "b.jpg": (33, 33), "sub/a.png": (50, 40), "A.tif": (34, 34)}
    for name, size in sizes.items():
        small(images / name, size)
    segmentation.segment(tiny_run, images, out)
    expected = {"a.jpg.png": (40, 32), "a.png.png": (36, 44), "b.png": (33, 33), "sub/a.png": (50, 40),
                "A.tif.png": (34, 34)}  # fmt: skip
    assert {p.relative_to(out).as_posix(): Image.open(p).size for p in out.rglob("*.png")} == expected
    assert len(list(out.rglob("*.overlay.jpg"))) == 5


NAMES = st.lists(
    st.builds("{}{}".format, st.sampled_from(["a", "b", "a.jpg", "a.png", "a.overlay"]),
              st.sampled_from([".jpg", ".png", ".gif"])),
    min_size=1, unique=True,
)  # fmt: skip


@given(NAMES)
def test_no_two_images_lead_to_the_same_file(tmp_path_factory, names):
    images = tmp_path_factory.getbasetemp() / "none" / "images"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(images), "is_dir", lambda path: path == images)
        places = segmentation._places([images / name for name in names], images, images.parent / "out")
    written = [place.with_name(place.name + end) for place in places for end in (".png", ".overlay.jpg")]
    assert len({str(path).casefold() for path in written}) == 2 * len(names)


@pytest.mark.parametrize("out", [".", "sub", "sub/maps", "maps", "../images"])
def test_maps_are_not_put_among_the_images(tiny_run, tmp_path, out):
    images = tmp_path / "images"
    small(images / "photo.png")
    small(images / "sub" / "photo.jpg")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="choose a folder outside"):
        segmentation.segment(tiny_run, images, images / out)
    assert contents(tmp_path) == before


def test_nor_by_a_way_round(tiny_run, tmp_path):
    images = tmp_path / "images"
    small(images / "images" / "photo.png")  # goes to tmp_path / "images" / "photo.png", among the images
    (tmp_path / "link").symlink_to(images, target_is_directory=True)
    before = contents(images)
    for out in (tmp_path, tmp_path / "link", tmp_path / "link" / "maps"):
        with pytest.raises(DataError, match="choose a folder outside"):
            segmentation.segment(tiny_run, images, out)
    assert contents(images) == before


def test_one_image_is_not_overwritten_by_its_map(tiny_run, tmp_path):
    image = small(tmp_path / "photo.png")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="choose a folder outside"):
        segmentation.segment(tiny_run, image, tmp_path)
    assert contents(tmp_path) == before


def test_a_file_in_the_place_of_the_output_folder_is_named(tiny_run, tmp_path):
    image = small(tmp_path / "photo.png")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DataError, match=r"out is a file; expected a folder"):
        segmentation.segment(tiny_run, image, tmp_path / "out")


def test_a_second_call_gives_the_same_files(tiny_run, tmp_path):
    small(tmp_path / "images" / "photo.jpg")
    segmentation.segment(tiny_run, tmp_path / "images", tmp_path / "out")
    first = contents(tmp_path / "out")
    segmentation.segment(tiny_run, tmp_path / "images", tmp_path / "out")
    assert contents(tmp_path / "out") == first


# -- what can be wrong


def test_a_damaged_image_is_named_and_the_others_are_done(tiny_run, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        small(images / name)
    (images / "b.jpg").write_bytes((images / "b.jpg").read_bytes()[:300])
    (images / "d.png").touch()
    ticks = []
    with pytest.raises(BadImages) as caught:
        segmentation.segment(tiny_run, images, out, tick=lambda *count: ticks.append(count))
    message = str(caught.value)
    assert [problem.file for problem in caught.value.problems] == [str(images / "b.jpg"), str(images / "d.png")]
    assert "2 of 4 cannot be used" in message
    assert "b.jpg: does not decode" in message
    assert "d.png: is empty" in message
    assert f"The other 2 are segmented in {out}" in message
    assert "on_bad_image" not in message
    assert {path.name for path in out.iterdir()} == {
        "a.png", "a.overlay.jpg", "c.png", "c.overlay.jpg", "clusters.csv",
    }  # fmt: skip
    assert sum(int(row["pixels"]) for row in rows(out / "clusters.csv")) == 2 * 40 * 32
    assert ticks[-1] == (4, 4)


def test_an_image_that_cannot_be_read_is_named_too(tiny_run, tmp_path, monkeypatch):
    images = tmp_path / "images"
    locked = small(images / "locked.jpg")
    small(images / "open.jpg")
    real = type(locked).read_bytes

    def read_bytes(path):
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(type(locked), "read_bytes", read_bytes)
    with pytest.raises(BadImages, match=r"locked\.jpg: cannot be read \(Permission denied\)"):
        segmentation.segment(tiny_run, images, tmp_path / "out")
    assert (tmp_path / "out" / "open.png").is_file()


def test_a_folder_of_damaged_images_alone_has_a_table_of_nothing(tiny_run, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes(b"\xff\xd8 no")
    with pytest.raises(BadImages, match="1 of 1"):
        segmentation.segment(tiny_run, images, tmp_path / "out")
    assert {row["share"] for row in rows(tmp_path / "out" / "clusters.csv")} == {"0.000"}


def test_no_images(tiny_run, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"no image under .*looked for files ending in \.bmp, .*\.webp"):
        segmentation.segment(tiny_run, tmp_path, tmp_path.parent / "out")
    with pytest.raises(DataError, match="there is no folder or image"):
        segmentation.segment(tiny_run, tmp_path / "elsewhere", tmp_path.parent / "out")
    assert not (tmp_path.parent / "out").exists()


# -- names of clusters


def test_names_go_out_and_come_back(tiny_run, tmp_path):
    images = small(tmp_path / "photo.jpg")
    first = segmentation.segment(tiny_run, images, tmp_path / "first")
    guessed = {int(row["cluster"]): row["name"] for row in rows(first)}
    majority = metrics.majority(tiny_run.confusion)
    assert guessed == {k: f"{classes.SCENES.names[c]}?" if c >= 0 else "" for k, c in enumerate(majority)}
    edited = first.read_text().replace(f"0,{guessed[0]},", '0,"bushes, low",').replace(f"3,{guessed[3]},", "3,Gebüsch,")
    for mark in ("", "\ufeff"):  # a spreadsheet puts a byte order mark before UTF-8
        (tmp_path / "names.csv").write_text(mark + edited, encoding="utf-8")
        names = segmentation.read_names(tmp_path / "names.csv")
        second = segmentation.segment(tiny_run, images, tmp_path / "second", names)
        found = {int(row["cluster"]): row["name"] for row in rows(second)}
        assert found == guessed | {0: "bushes, low", 3: "Gebüsch"}


def test_a_cluster_without_a_name_keeps_the_one_it_had(tiny_run, tmp_path):
    (tmp_path / "names.csv").write_text("name,cluster\r\n tree ,2\r\n,3\r\n  ,\r\n\r\n")
    assert segmentation.read_names(tmp_path / "names.csv") == {2: "tree"}


def test_a_name_for_a_cluster_that_is_not_there_is_refused_before_anything_is_done(tiny_run, tmp_path):
    with pytest.raises(DataError, match=r"a name for cluster -1, 12: this run has clusters 0 to 11"):
        segmentation.segment(tiny_run, small(tmp_path / "a.jpg"), tmp_path / "out", {0: "a", 12: "b", -1: "c"})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected the columns cluster and name, got $"),
        (b"cluster;name\n1;tree\n", "expected the columns cluster and name, got cluster;name"),
        (b"cluster,name\n1,tree\ntwo,sky\n", "line 3: cluster is 'two', expected a number"),
        (b"cluster,name\n1.0,tree\n", "cluster is '1.0'"),
        (b"name,cluster\ntree\n", "cluster is None"),
        ("cluster,name\n1,Gebüsch\n".encode("latin-1"), "is not UTF-8 .*save it as 'CSV UTF-8'"),
    ],
)
def test_a_table_of_names_that_cannot_be_used_says_why(tmp_path, content, message):
    (tmp_path / "names.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        segmentation.read_names(tmp_path / "names.csv")
    assert "names.csv" in str(caught.value)


# -- colours


def test_clusters_have_the_colour_of_the_class_they_are_called_by(tiny_run):
    confusion = np.zeros_like(tiny_run.confusion)
    confusion[:3, :3] = [[5, 4, 0], [1, 0, 0], [0, 3, 0]]  # two clusters of class 0, and one that nobody has seen
    run = dataclasses.replace(tiny_run, confusion=confusion)
    colors, table = segmentation.cluster_colors(run), classes.SCENES
    assert segmentation.cluster_names(run) == {0: f"{table.names[0]}?", 1: f"{table.names[0]}?"}
    assert np.array_equal(colors[:2], table.colors[[0, 0]])
    assert np.array_equal(colors[2:], figures.colors(K)[2:])


def test_what_was_taught_the_classes_calls_them_by_its_own(tiny_run):
    confusion = np.zeros_like(tiny_run.confusion)
    confusion[0, :2] = 5  # the second class is always taken for the first
    settings = tiny_run.settings.model_copy(update={"method": "supervised"})
    run, table = dataclasses.replace(tiny_run, confusion=confusion, settings=settings), classes.SCENES
    assert segmentation.cluster_names(run)[1] == f"{table.names[1]}?"
    assert np.array_equal(segmentation.cluster_colors(run), table.colors)


def test_clusters_of_a_run_without_labels_have_colours_of_their_own_and_no_names(tiny_run):
    unlabelled = dataclasses.replace(tiny_run, confusion=None, scores=None, result={**tiny_run.result, "classes": None})
    assert np.array_equal(segmentation.cluster_colors(unlabelled), figures.colors(K))
    assert segmentation.cluster_names(unlabelled) == {}


@pytest.mark.parametrize(("height", "width"), [(90, 133), (128, 128), (20, 31), (400, 61)])
def test_the_network_sees_whole_coarse_cells_and_the_margin_is_dropped(height, width):
    seen = []

    class Spy:
        def logits(self, images):
            seen.append(tuple(images.shape[-2:]))
            columns = torch.arange(images.shape[-1] // 4).expand(images.shape[-2] // 4, -1)
            return {"final": torch.stack([-(columns - k).abs().float() for k in range(200)])[None]}

    clusters = segmentation.segment_image(Spy(), np.zeros((height, width, 3), np.uint8), 64, torch.device("cpu"))
    assert all(side % 32 == 0 for side in seen[0])
    cells = round(width * 64 / min(height, width) / 4)
    assert clusters.shape == (height, width)
    assert clusters[0, -1] == cells - 1  # the last column is the image's, not the margin's
    assert clusters[0, 0] == 0
