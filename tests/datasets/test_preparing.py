"""prepare: once, atomic, resumable, safe between processes; and the fingerprint."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tiny_sets
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from picie_core import files
from picie_core.datasets import DataError, Prepared, making, prepare, shards
from picie_core.datasets.problems import Unlabelled


@pytest.fixture
def root(tmp_path):
    return tiny_sets.camvid(tmp_path / "camvid", (7, 3))


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(making, "SHARD_BYTES", 2 * 16 * 16 * 3)  # two images


def train(root, **options) -> Prepared:
    return prepare("camvid", **({"root": root, "size": 16, "progress": False} | options))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def test_manifest(root, small_shards):
    data = train(root)
    manifest = json.loads((data.folder / "manifest.json").read_text())
    assert manifest == data.manifest
    assert [shard["images"]["rows"] for shard in manifest["shards"]] == [2, 2, 2, 1]
    assert (manifest["count"], manifest["split"], manifest["settings"]["size"]) == (7, "train", 16)
    assert manifest["source"]["root"] == str(root)
    labels = data.labels[:]
    for row, value in zip(manifest["frequencies"], [*range(11), 255], strict=True):
        assert row["pixels"] == (labels == value).sum()
        assert row["images"] == (labels == value).any((1, 2)).sum()
        assert row["share"] == pytest.approx((labels == value).mean(), abs=1e-6)
    assert manifest["frequencies"][-1]["class"] == "void"
    assert manifest["bytes"] == data.images.nbytes + data.labels.nbytes


def test_the_second_call_opens_what_the_first_made(root, monkeypatch):
    first = train(root)
    times = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    monkeypatch.setattr("picie_core.datasets.preparing.make", None)  # would fail
    second = train(root)
    assert second.folder == first.folder
    assert {path: path.stat().st_mtime_ns for path in second.folder.iterdir()} == times
    assert train(root, workers=1, progress=True).folder == first.folder


def test_threads_do_not_change_the_arrays(root, small_shards, tmp_path, monkeypatch):
    one = content(train(root, workers=1).folder)
    monkeypatch.setenv("PICIE_PREPARED", str(tmp_path / "other"))
    assert content(train(root, workers=5).folder) == one


def test_fingerprint_is_of_content(root, tmp_path):
    data = train(root)
    moved = shutil.copytree(root, tmp_path / "elsewhere" / "set")
    (moved / "images/train/0001TP_006690.jpg").touch()
    again = train(moved)
    assert again.folder != data.folder
    assert again.fingerprint == data.fingerprint
    assert train(root, size=17).fingerprint != data.fingerprint
    assert train(root, limit=6).fingerprint != data.fingerprint
    assert train(root, limit=99).folder == data.folder
    assert train(root, split="val").fingerprint != data.fingerprint
    label = moved / "labels/train/0001TP_006690.png"
    tiny_sets.save(label, tiny_sets.label(99, [0, 1]))
    assert train(moved).fingerprint != data.fingerprint


def test_files_that_agree_in_name_size_and_time_are_not_taken_for_each_other(tmp_path):
    """Frames without compression, times as an archive sets them."""
    arrays = []
    for grey in (10, 240):
        folder = tmp_path / str(grey)
        folder.mkdir()
        for number in range(3):
            Image.new("RGB", (40, 40), (grey,) * 3).save(frame := folder / f"frame{number}.bmp")
            os.utime(frame, (1e9, 1e9))
        arrays.append(prepare("folder", root=folder, size=32, progress=False).images[:])
    assert [images.mean() for images in arrays] == [10, 240]


def test_a_changed_file_is_prepared_anew(root):
    before = train(root)
    tiny_sets.save(root / "images/train/0001TP_006720.jpg", tiny_sets.photo(55))
    after = train(root)
    assert (after.images[1] != before.images[1]).any()
    assert (after.images[2] == before.images[2]).all()


def test_a_file_whose_rights_change_is_tried_again(root, monkeypatch):
    shut = next((root / "images" / "train").glob("*"))
    may, reads = os.access, Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path == shut:
            raise PermissionError(13, "Permission denied", str(path))
        return reads(path)

    with monkeypatch.context() as locked:  # root, as whom tests may run, is refused nothing
        locked.setattr(os, "access", lambda path, mode: path != shut and may(path, mode))
        locked.setattr(Path, "read_bytes", read_bytes)
        fewer = prepare("camvid", root=root, size=16, on_bad_image="skip", progress=False)
    assert [file for file, _ in fewer.manifest["skipped"]] == [shut.relative_to(root).as_posix()]
    assert len(prepare("camvid", root=root, size=16, progress=False)) == len(fewer) + 1


def test_fingerprint_of_scenes_needs_no_file():
    a, b = (prepare(name, size=32, limit=2, progress=False).fingerprint for name in ("scenes", "scenes_b"))
    assert a != b
    assert prepare("scenes", size=48, limit=2, progress=False).fingerprint != a


def test_limit_is_spread_over_the_split(root):
    assert train(root, limit=3).names == [train(root).names[i] for i in (0, 2, 4)]


KILLED = """
import sys, time
from pathlib import Path
from picie_core import files
from picie_core.datasets import making, prepare
making.SHARD_BYTES = 2 * 16 * 16 * 3
write = files.write
def slow(file, *parts):
    write(file, *parts)
    if file.name == "00001.json":
        print("two shards", flush=True)
        half = file.with_name(".00002.images.npy.123.tmp")
        half.write_bytes(b"half")
        time.sleep(60)
files.write = slow
prepare("camvid", root=Path(sys.argv[1]), size=16, progress=False)
"""


def test_killed_in_the_middle_it_goes_on(root, prepared, small_shards, tmp_path, monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "two shards\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (folder,) = (path for path in prepared.iterdir() if path.is_dir())
    with pytest.raises(DataError, match="preparing has not finished"):
        Prepared.open(folder)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    assert len(kept) == 4
    data = train(root)
    assert data.folder == folder
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())  # not made again
    assert not list(folder.glob("*.tmp"))
    monkeypatch.setenv("PICIE_PREPARED", str(tmp_path / "other"))
    assert content(train(root).folder) == content(folder)


@pytest.mark.parametrize("harm", ["cut", "longer", "gone", "header", "record"])
def test_a_damaged_shard_is_seen_and_repaired(root, small_shards, harm, caplog):
    data = train(root)
    good = content(data.folder)
    file = data.folder / ("00001.json" if harm == "record" else "00001.labels.npy")
    if harm in ("gone", "record"):
        file.unlink()
    elif harm == "header":
        file.write_bytes(b"x" * file.stat().st_size)
    else:
        file.write_bytes(file.read_bytes()[:-1] if harm == "cut" else file.read_bytes() + b"0")
    with pytest.raises(DataError, match="prepare the data set again"):
        Prepared.open(data.folder)
    other = (data.folder / "00000.images.npy").stat().st_mtime_ns
    again = train(root)
    assert "repairing" in caplog.text
    assert content(again.folder) == good
    assert (data.folder / "00000.images.npy").stat().st_mtime_ns == other


def test_verify_reads_everything_again(root):
    data = train(root)
    data.verify()
    file = data.folder / "00000.images.npy"
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    file.write_bytes(changed)
    train(root)  # opening does not read the content
    with pytest.raises(DataError, match=r"00000\.images\.npy has changed"):
        data.verify()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}'])
def test_a_damaged_manifest_is_made_again(root, text):
    data = train(root)
    (data.folder / "manifest.json").write_text(text)
    assert train(root).manifest["count"] == 7


class Full:
    """A file on a disk that takes ten more bytes."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()

    def write(self, data):
        self.stream.write(bytes(data)[:10])
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("victim", ["00001.images.npy", "00001.labels.npy", "00001.json", "manifest.json"])
def test_a_disk_that_fills_up(root, small_shards, monkeypatch, victim):
    opened = Path.open

    def limited(path, mode="r", **how):
        stream = opened(path, mode, **how)
        return Full(stream) if mode == "wb" and path.name.startswith(f".{victim}") else stream

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", limited)
        with pytest.raises(DataError) as error:
            train(root)
    message = str(error.value)
    assert "the disk is full" in message
    assert "MB more are needed" in message
    assert "PICIE_PREPARED" in message
    (folder,) = (p for p in Path(os.environ["PICIE_PREPARED"]).iterdir() if p.is_dir())
    assert not (folder / victim).exists()
    assert not list(folder.glob("*.tmp"))
    assert (folder / "00000.json").exists()
    with pytest.raises(DataError, match="not finished"):
        Prepared.open(folder)
    data = train(root)
    assert len(data.images[:]) == 7
    data.verify()


def test_too_little_room_is_said_before_work_begins(root, monkeypatch):
    usage = shutil.disk_usage(root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"not enough disk .*0\.0 MB more are needed"):
        train(root)


def test_other_faults_of_the_disk_are_not_called_full(root, monkeypatch):
    def broken(file, *parts):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "write", broken)
    with pytest.raises(OSError, match="Input/output error"):
        train(root)


def test_a_place_that_cannot_be_written(root, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PICIE_PREPARED", str(tmp_path / "file" / "prepared"))
    with pytest.raises(DataError, match="set PICIE_PREPARED to a folder"):
        train(root)


def test_two_processes_at_once(root):
    program = (
        "import sys; from pathlib import Path; from picie_core.datasets import making, prepare\n"
        "making.SHARD_BYTES = 2 * 16 * 16 * 3\n"
        "data = prepare('camvid', root=Path(sys.argv[1]), size=16, progress=False); data.verify(); print(len(data))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program, str(root)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in both] == ["7\n", "7\n"]


def test_the_second_waits_and_finds_it_done(root, monkeypatch, caplog):
    calls = []

    def slow(*args, make=making.make):
        calls.append(1)
        time.sleep(0.3)
        make(*args)

    monkeypatch.setattr("picie_core.datasets.preparing.make", slow)
    with ThreadPoolExecutor(2) as pool:
        a, b = pool.map(lambda _: train(root), range(2))
    assert a.folder == b.folder
    assert len(calls) == 1
    assert "waiting for it" in caplog.text


def test_an_interrupted_call_lets_its_threads_go(root, monkeypatch, small_shards):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    with monkeypatch.context() as patch:
        patch.setattr(making, "_write_shard", stop)
        with pytest.raises(KeyboardInterrupt):
            train(root)
    assert set(threading.enumerate()) <= before
    assert len(train(root)) == 7


def test_published_counts_are_compared(root, caplog):
    train(root)
    assert "train, under" in caplog.text
    assert "7 images, and the published split has 367: scores are not comparable with published ones" in caplog.text
    caplog.clear()
    train(root, limit=3)
    assert "published" not in caplog.text


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.data())
def test_sharded_array_is_the_array(tmp_path_factory, lengths, data):
    folder = tmp_path_factory.mktemp("shards")
    lengths = [*lengths, 1]
    whole = np.random.default_rng(0).integers(0, 256, (sum(lengths), 3, 2), dtype=np.uint8)
    parts = np.split(whole, np.cumsum(lengths)[:-1])
    places = [folder / f"{i}.npy" for i in range(len(parts))]
    for file, part in zip(places, parts, strict=True):
        record = shards.write_array(file, part)
        assert (np.load(file) == part).all()
        assert record["bytes"] == file.stat().st_size
        assert record["sha256"] == shards.sha256(file)
    array = shards.ShardedArray([f for f, part in zip(places, parts, strict=True) if len(part)], (3, 2))
    assert (array.shape, len(array), array.nbytes) == (whole.shape, len(whole), whole.nbytes)
    assert (np.asarray(array) == whole).all()
    n = len(whole)
    some = data.draw(st.lists(st.integers(-n, n - 1), max_size=7))
    cut = slice(
        *data.draw(st.tuples(*[st.none() | st.integers(-n - 1, n + 1)] * 2)), data.draw(st.sampled_from([1, 2, -1]))
    )
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    for key in (cut, np.array(some, dtype=int), mask, n - 1, -n, np.int64(0)):
        assert array[key].shape == whole[key].shape
        assert (array[key] == whole[key]).all()
    for key in (n, -n - 1, [0, n]):
        with pytest.raises(IndexError):
            array[key]
    assert array[:].flags.writeable


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_was_read_is_not_kept_in_memory(tmp_path):
    """A split larger than memory would otherwise count as this process's, row by row."""

    def mapped() -> int:  # MB of files
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) // 1024

    places = [tmp_path / f"{i}.npy" for i in range(3)]
    for file in places:
        shards.write_array(file, np.full((20, 1000, 1000), 7, np.uint8))
    array, before = shards.ShardedArray(places, (1000, 1000)), mapped()
    for start in range(0, 60, 6):
        assert (array[start : start + 6] == 7).all()
    assert mapped() < before + 10  # of 60


def test_what_is_needed_is_asked_for(root, tmp_path):
    labelled = train(root)
    labelled.need_labels()
    labelled.need_things_and_stuff()
    tiny_sets.save(tmp_path / "photos" / "a.jpg", tiny_sets.photo(0))
    bare = prepare("folder", root=tmp_path / "photos", size=16, progress=False)
    for needed in (bare.need_labels, bare.need_things_and_stuff):
        with pytest.raises(Unlabelled, match=r"folder-train.* has no labels: there is nothing to compare"):
            needed()
    tiny_sets.save(tmp_path / "stuff" / "images" / "a.jpg", tiny_sets.photo(0))
    tiny_sets.save(tmp_path / "stuff" / "labels" / "a.png", tiny_sets.label(0, [0, 1]))
    alike = prepare("folder", root=tmp_path / "stuff", size=16, progress=False)
    alike.need_labels()
    with pytest.raises(DataError, match="folder, split train: 0 of its 2 classes are things, and both"):
        alike.need_things_and_stuff()
