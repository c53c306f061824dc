"""`album`: what a folder of anybody's photographs becomes, and what is never overwritten."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photographs import contents, picture, rows, small
from PIL import Image
from tiny_runs import full

from picie_core.datasets import BadImages, DataError
from picie_core.datasets.listing import photographs
from picie_core.segmentation import album, maps, page

K = 12  # of `tiny_run`
SIDEWAYS = 6  # EXIF orientation: turn by 90 degrees to be upright


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of many sizes and kinds, and the size (width, height) that each has when it is upright."""
    folder = tmp_path_factory.mktemp("photos")
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
def segmented(tiny_run, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "made" / "here"
    ticks = []
    page = album.segment(tiny_run, photos[0], out, tick=lambda *count: ticks.append(count))
    assert page == out / "index.html"
    return out, out / "clusters.csv", ticks


# -- what is written


def test_every_image_has_a_map_and_an_overlay_of_its_upright_size(photos, segmented):
    out, _, _ = segmented
    _, sizes = photos
    made = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    stems = {name.rsplit(".", 1)[0] for name in sizes}
    ends = (".png", ".overlay.jpg", ".pair.jpg")
    assert made == {stem + end for stem in stems for end in ends} | {"clusters.csv", "index.html"}
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


def test_progress_counts_every_image(photos, segmented):
    assert segmented[2] == [(done, len(photos[1])) for done in range(1, len(photos[1]) + 1)]


def test_an_image_turned_by_exif_is_segmented_upright(tiny_run, tmp_path):
    pixels = picture(60, 90)
    turned = Image.Exif()
    turned[0x0112] = SIDEWAYS
    Image.fromarray(pixels).save(tmp_path / "upright.png")
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "sideways.png", exif=turned)
    album.segment(tiny_run, tmp_path, tmp_path.parent / "maps")
    upright, sideways = (np.asarray(Image.open(tmp_path.parent / "maps" / f"{n}.png")) for n in ("upright", "sideways"))
    assert upright.shape == (90, 60)
    assert np.array_equal(upright, sideways)


def test_one_image_may_be_given_and_its_maps_stand_below_its_folder(tiny_run, tmp_path):
    image = small(tmp_path / "photo.jpg")
    small(tmp_path / "other.jpg")
    album.segment(tiny_run, image, tmp_path / "maps")
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {
        "photo.png", "photo.overlay.jpg", "photo.pair.jpg", "clusters.csv", "index.html",
    }  # fmt: skip
    text = (tmp_path / "maps" / "index.html").read_text(encoding="utf-8")
    assert "<title>Segments of photo.jpg</title>" in text
    assert "1 photograph," in text


# -- names of files


def test_images_that_differ_in_their_ending_alone_keep_it(tiny_run, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    sizes = {"a.jpg": (40, 32), "a.png": (36, 44), "b.jpg": (33, 33), "sub/a.png": (50, 40), "A.tif": (34, 34)}
    for name, size in sizes.items():
        small(images / name, size)
    album.segment(tiny_run, images, out)
    expected = {"a.jpg.png": (40, 32), "a.png.png": (36, 44), "b.png": (33, 33), "sub/a.png": (50, 40),
                "A.tif.png": (34, 34)}  # fmt: skip
    assert {p.relative_to(out).as_posix(): Image.open(p).size for p in out.rglob("*.png")} == expected
    assert len(list(out.rglob("*.overlay.jpg"))) == 5


NAMES = st.lists(
    st.builds("{}{}".format, st.sampled_from(["a", "b", "a.jpg", "a.png", "a.overlay", "a.pair"]),
              st.sampled_from([".jpg", ".png", ".gif"])),
    min_size=1, unique=True,
)  # fmt: skip


def written_at(place):
    photo = page.Photo("", place, place, (1, 1), (), 0)
    return photo.map, photo.overlay, photo.pair


@given(NAMES)
def test_no_two_images_lead_to_the_same_file(tmp_path_factory, names):
    images = tmp_path_factory.getbasetemp() / "none" / "images"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(images), "is_dir", lambda path: path == images)
        places = album._places([images / name for name in names], images, images.parent / "out")
    written = [file for place in places for file in written_at(place)]
    assert len({str(path).casefold() for path in written}) == 3 * len(names)


@pytest.mark.parametrize("out", [".", "sub", "sub/maps", "maps", "../images"])
def test_maps_are_not_put_among_the_images(tiny_run, tmp_path, out):
    images = tmp_path / "images"
    small(images / "photo.png")
    small(images / "sub" / "photo.jpg")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="choose a folder outside"):
        album.segment(tiny_run, images, images / out)
    assert contents(tmp_path) == before


def test_nor_by_a_way_round(tiny_run, tmp_path):
    images = tmp_path / "images"
    small(images / "images" / "photo.png")  # goes to tmp_path / "images" / "photo.png", among the images
    (tmp_path / "link").symlink_to(images, target_is_directory=True)
    before = contents(images)
    for out in (tmp_path, tmp_path / "link", tmp_path / "link" / "maps"):
        with pytest.raises(DataError, match="choose a folder outside"):
            album.segment(tiny_run, images, out)
    assert contents(images) == before


def test_one_image_is_not_overwritten_by_its_map(tiny_run, tmp_path):
    image = small(tmp_path / "photo.png")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="choose a folder outside"):
        album.segment(tiny_run, image, tmp_path)
    assert contents(tmp_path) == before


def test_a_file_in_the_place_of_the_output_folder_is_named(tiny_run, tmp_path):
    image = small(tmp_path / "photo.png")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DataError, match=r"out is a file; expected a folder"):
        album.segment(tiny_run, image, tmp_path / "out")


def test_a_second_call_gives_the_same_files(tiny_run, tmp_path):
    small(tmp_path / "images" / "photo.jpg")
    album.segment(tiny_run, tmp_path / "images", tmp_path / "out")
    first = contents(tmp_path / "out")
    album.segment(tiny_run, tmp_path / "images", tmp_path / "out")
    assert contents(tmp_path / "out") == first


def test_the_table_of_an_album_keeps_its_names_when_it_is_written_again(tiny_run, tmp_path):
    image, table = small(tmp_path / "photo.jpg"), tmp_path / "out" / "clusters.csv"
    album.segment(tiny_run, image, tmp_path / "out", {3: "meadow"})
    before = table.read_bytes()
    album.segment(tiny_run, image, tmp_path / "out")
    assert table.read_bytes() == before
    album.segment(tiny_run, image, tmp_path / "out", {4: "road"})  # names that are given take the place of all
    assert [row["cluster"] for row in rows(table) if row["name"] in ("meadow", "road")] == ["4"]


def test_the_segments_of_another_run_are_not_mixed_with(tiny_run, tmp_path):
    image, out = small(tmp_path / "photo.jpg"), tmp_path / "out"
    album.segment(tiny_run, image, out)
    before = contents(out)
    other = dataclasses.replace(tiny_run, folder=tiny_run.folder.with_name("another-run"))
    for names in (None, {3: "sky"}):
        with pytest.raises(DataError, match=rf"holds the segments of run {tiny_run.folder.name}, .* another folder"):
            album.segment(other, image, out, names)
        assert contents(out) == before
    table = out / "clusters.csv"
    table.write_text(table.read_text().replace(f",{tiny_run.folder.name}", "").replace(",run", ""))  # as older ones
    for change in (lambda: None, table.unlink):  # then without it
        change()
        with pytest.raises(DataError, match=r"of a run that its clusters\.csv does not name, .* choose another folder"):
            album.segment(tiny_run, image, out)


def test_an_album_that_was_stopped_is_known_for_one(tiny_run, tmp_path):
    images, out = tmp_path / "all" / "images", tmp_path / "all" / "out"
    small(images / "a.jpg")
    small(images / "b.jpg")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        album.segment(tiny_run, images, out, {3: "meadow"}, stop)
    assert (out / "a.png").is_file()
    assert not (out / "b.png").exists()
    assert [file.name for file in photographs(tmp_path / "all").files] == ["a.jpg", "b.jpg"]
    other = dataclasses.replace(tiny_run, folder=tiny_run.folder.with_name("another-run"))
    with pytest.raises(DataError, match="holds the segments of run"):
        album.segment(other, images, out)
    album.segment(tiny_run, images, out)
    assert rows(out / "clusters.csv")[3]["name"] == "meadow"


def test_a_folder_of_photographs_does_not_become_an_album(tiny_run, tmp_path):
    image, out = small(tmp_path / "photo.jpg"), tmp_path / "mine"
    small(out / "sub" / "own.jpg")
    with pytest.raises(DataError, match=r"mine holds pictures of other origin, such as sub/own\.jpg, which would"):
        album.segment(tiny_run, image, out)
    assert set(contents(out)) == {"sub/own.jpg"}


def test_maps_of_photographs_that_are_gone_are_told(tiny_run, tmp_path, caplog):
    images, out = tmp_path / "images", tmp_path / "out"
    small(images / "a.jpg")
    small(images / "sub" / "b.jpg")
    album.segment(tiny_run, images, out)
    assert not caplog.messages
    (images / "sub" / "b.jpg").rename(images / "sub" / "c.jpg")
    album.segment(tiny_run, images, out)
    (told,) = caplog.messages
    assert told.startswith(f"{out}: 1 maps there are not of this page, such as that of sub/b: their photographs")


def test_what_was_written_is_not_taken_for_photographs_the_next_time(tiny_run, tmp_path, caplog):
    small(tmp_path / "pictures" / "trip" / "a.jpg")
    out = tmp_path / "pictures" / "segments"
    album.segment(tiny_run, tmp_path / "pictures" / "trip", out)
    small(out / "mine.png")
    album.segment(tiny_run, tmp_path / "pictures" / "trip", out)
    assert not caplog.messages  # not a map of ours
    assert photographs(out).files == []
    found = photographs(tmp_path / "pictures")
    assert [file.name for file in found.files] == ["a.jpg"]
    assert found.unread == f"{out} holds what `picie segment` has written: it is left out"


def test_the_background_of_objects_leaves_the_photograph_as_it_is(tiny_run, tmp_path, monkeypatch):
    found = np.zeros((32, 40), dtype=np.uint8)
    found[:, 20:] = 1
    monkeypatch.setattr(maps, "segment_image", lambda *_: found)
    settings = tiny_run.settings.model_copy(update={"method": "comus"})
    of_objects = dataclasses.replace(tiny_run, settings=settings, confusion=np.ones((12, 13), dtype=int))
    monkeypatch.setattr(album.training, "restore", lambda run: (None, SimpleNamespace(device="cpu")))
    image = small(tmp_path / "a.png")
    album.segment(of_objects, image, tmp_path / "out")
    photo, drawn = (np.asarray(Image.open(f)).astype(int) for f in (image, tmp_path / "out" / "a.overlay.jpg"))
    apart = np.abs(photo - drawn).mean(axis=(0, 2))
    assert apart[:16].mean() < 20 < 40 < apart[24:].mean()  # JPEG
    table = rows(tmp_path / "out" / "clusters.csv")
    assert (table[0]["name"], table[0]["color"]) == ("background", "#000000")
    assert table[1]["color"] != "#000000"


def test_the_page_of_something_else_is_not_overwritten(tiny_run, tmp_path):
    image, out = small(tmp_path / "photo.png"), tmp_path / "site"
    out.mkdir()
    (out / "index.html").write_text("<h1>My photographs</h1>")
    before = contents(tmp_path)
    with pytest.raises(DataError, match=r"index\.html is not a page of `picie segment`.* choose another folder"):
        album.segment(tiny_run, image, out)
    assert contents(tmp_path) == before


# -- what can be wrong


def test_photographs_in_formats_that_are_not_read_are_told(tiny_run, tmp_path, caplog):
    images, told = tmp_path / "images", "3 files not looked at: .jxl (convert them to JPEG)"
    small(images / "a.jpg")
    for name in ("b.jxl", "c.JXL", "sub/d.jxl"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).touch()
    page = album.segment(tiny_run, images, tmp_path / "out")
    assert caplog.messages == [f"{images}: {told}"]
    assert f">{told}<" in page.read_text(encoding="utf-8")
    (images / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"no image under .*; 3 files not looked at: \.jxl"):
        album.segment(tiny_run, images, tmp_path / "out")


def test_a_damaged_image_is_named_and_the_others_are_done(tiny_run, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        small(images / name)
    (images / "b.jpg").write_bytes((images / "b.jpg").read_bytes()[:300])
    (images / "d.png").touch()
    ticks = []
    with pytest.raises(BadImages) as caught:
        album.segment(tiny_run, images, out, tick=lambda *count: ticks.append(count))
    message = str(caught.value)
    assert [problem.file for problem in caught.value.problems] == [str(images / "b.jpg"), str(images / "d.png")]
    assert "2 of 4 cannot be used" in message
    assert "b.jpg: does not decode" in message
    assert "d.png: is empty" in message
    assert f"The other 2 are segmented in {out}" in message
    assert "on_bad_image" not in message
    assert {path.name for path in out.iterdir()} == {
        "a.png", "a.overlay.jpg", "a.pair.jpg", "c.png", "c.overlay.jpg", "c.pair.jpg", "clusters.csv", "index.html",
    }  # fmt: skip
    assert sum(int(row["pixels"]) for row in rows(out / "clusters.csv")) == 2 * 40 * 32
    assert ticks[-1] == (4, 4)
    text = (out / "index.html").read_text(encoding="utf-8")
    assert "2 files could not be used" in text
    assert f"<li>{images / 'd.png'}: is empty (0 bytes)</li>" in text


def test_a_name_that_is_too_long_for_its_overlay_is_told_and_the_others_are_done(tiny_run, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    fits, too_long = "a" * 243, "b" * 244  # with .overlay.jpg 255 and 256 bytes
    for name in (fits, too_long, "c"):
        small(images / f"{name}.jpg")
    with pytest.raises(BadImages, match=r"1 of 3 (.|\n)*b\.jpg: has too long a name (.|\n)*The other 2 are segmented"):
        album.segment(tiny_run, images, out)
    assert {path.name for path in out.iterdir()} == {"clusters.csv", "index.html"} | {
        stem + end for stem in (fits, "c") for end in (".png", ".overlay.jpg", ".pair.jpg")
    }
    assert "1 file could not be used" in (out / "index.html").read_text(encoding="utf-8")


def test_a_full_disk_ends_the_album(tiny_run, tmp_path, monkeypatch):
    small(tmp_path / "images" / "a.jpg")
    monkeypatch.setattr(type(tmp_path), "replace", full)
    with pytest.raises(OSError, match=r"No space left.*make room.*clusters\.csv'"):
        album.segment(tiny_run, tmp_path / "images", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_pictures_of_any_shape_are_segmented(tiny_run, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    sizes = {"dot": (1, 1), "line": (6000, 1), "stave": (1, 6000), "scan": (66_000, 2)}
    for name, size in sizes.items():
        small(images / f"{name}.png", size)
    album.segment(tiny_run, images, out)
    assert {name: Image.open(out / f"{name}.png").size for name in sizes} == sizes
    overlays = {name: Image.open(out / f"{name}.overlay.jpg").size for name in sizes}
    assert overlays == sizes | {"scan": (65_500, 2)}


def test_one_image_in_a_format_that_is_not_read_is_to_be_converted(tiny_run, tmp_path):
    (tmp_path / "a.JXL").write_bytes(b"no")
    with pytest.raises(BadImages, match=r"a\.JXL: is in a format that is not read \(\.JXL\); convert it to JPEG"):
        album.segment(tiny_run, tmp_path / "a.JXL", tmp_path / "out")


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
        album.segment(tiny_run, images, tmp_path / "out")
    assert (tmp_path / "out" / "open.png").is_file()


def test_damaged_images_alone_leave_an_earlier_album_as_it_was(tiny_run, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    album.segment(tiny_run, small(tmp_path / "good.jpg"), out, {0: "sky"})
    before = contents(out)
    images.mkdir()
    (images / "a.jpg").write_bytes(b"\xff\xd8 no")
    with pytest.raises(BadImages, match=r"1 of 1 (.|\n)*None is segmented; repair or remove this one"):
        album.segment(tiny_run, images, out)
    assert contents(out) == before


def test_no_images(tiny_run, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"no image under .*looked for files ending in \.avif, .*\.webp"):
        album.segment(tiny_run, tmp_path, tmp_path.parent / "out")
    with pytest.raises(DataError, match="there is no folder or image"):
        album.segment(tiny_run, tmp_path / "elsewhere", tmp_path.parent / "out")
    assert not (tmp_path.parent / "out").exists()
