"""`grid.ledger`: what has become of jobs, read off their folders."""

import json
import re

import pytest
from filelock import FileLock
from finished_runs import finished_run
from grid_stubs import begin

from picie_core import options, places
from picie_core.grid import ledger, plan
from picie_core.grid.job import FAILURE, Failure, note


def make(folder, seconds):
    """A finished run of so many seconds."""
    finished_run(folder, seconds=seconds)


@pytest.fixture
def folders(grid_file, tmp_path, monkeypatch):
    """Four jobs of three epochs: done, running (one epoch), failed, waiting."""
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "runs"))
    found = plan.prepare(plan.read(grid_file({"a": {}}, (1, 2, 3, 4))))
    done, running, failed, _ = found.values()
    make(done, 30.0)
    begin(running, 12.0)
    note(failed, Failure("ValueError: no", "all of it"))
    return found


@pytest.fixture
def held(folders):
    with FileLock(list(folders.values())[1] / "lock"):
        yield


def test_the_states(folders, held):
    found = ledger.entries(folders)
    assert [entry.state for entry in found] == ["done", "running", "failed", "waiting"]
    assert [round(entry.share, 2) for entry in found] == [1, 0.33, 0, 0]
    assert [entry.seconds for entry in found] == [30, 12, 0, 0]
    assert found[2].reason == "ValueError: no"


def test_more_rows_than_epochs_are_all_of_them(folders):
    """A run may have been trained for longer than its settings now say it is to be."""
    running = list(folders.values())[1]
    begin(running, 12.0, 12.0, 12.0, 12.0)
    assert ledger.entries(folders)[1].share == 1


def test_what_to_open_of_a_failed_run_is_there(folders):
    """A process that was killed leaves no notebook, but what it said."""
    failed = ledger.entries(folders)[2]
    assert failed.evidence == failed.folder / FAILURE
    assert json.loads(failed.evidence.read_text())["message"] == "all of it"
    (failed.folder / "00_run.failed.ipynb").touch()
    assert failed.evidence.name == "00_run.failed.ipynb"


def test_a_run_that_nobody_holds_is_not_running(folders):
    assert [entry.state for entry in ledger.entries(folders)] == ["done", "waiting", "failed", "waiting"]


@pytest.mark.parametrize(
    ("number", "file", "content", "advice"),
    [
        (0, "result.json", "", "Delete the folder to have it made again"),
        (0, "result.json", '{"seconds": 3}', "it lacks key, classes, commit. Delete the folder"),
        (0, "settings.yaml", "", "no settings file of a run: .* Delete the folder"),
        (2, FAILURE, "", "failure.json cannot be read: Expecting value"),
        (2, FAILURE, "[]", "failure.json cannot be read: "),
    ],
)
def test_what_cannot_be_read_of_a_run_has_failed_and_is_not_done(folders, number, file, content, advice):
    folder = list(folders.values())[number]
    (folder / file).write_text(content)
    entry = ledger.entries(folders)[number]
    assert entry.state == "failed"
    assert re.search(advice, entry.reason)
    assert entry.evidence.exists()
    assert entry.job in ledger.missing(folders)


SIZES = "epoch,cluster_sizes_1_2,seconds\n"


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2,3\n4\n1,2,3,4\n", "epoch\n0\n", "epoch,seconds\n0,long\n", "epoch,seconds\n0,12.0\n1,1",
        f"{SIZES}0\n", f'{SIZES}0,"[1, ', f'{SIZES}0,"[1,"\n', f'{SIZES}0,"[1, 2]",12.0\n1,"[1, 2]"',
        b"\xff\n", bytes(40),
    ],
)  # fmt: skip
def test_progress_that_cannot_be_read_is_none(folders, content):
    """Its next epoch writes it anew."""
    folder = list(folders.values())[1]
    (folder / "progress.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    entry = ledger.entries(folders)[1]
    assert (entry.state, entry.share, entry.seconds) == ("waiting", 0.0, 0.0)


@pytest.mark.parametrize("gone", ["checkpoint/counters.json", "checkpoint"])
def test_without_a_checkpoint_to_go_on_from_nothing_was_done_before(folders, gone):
    folder = list(folders.values())[1]
    (folder / gone).rename(folder / "elsewhere")
    entry = ledger.entries(folders)[1]
    assert (entry.state, entry.share, entry.seconds) == ("waiting", 0.0, 0.0)
    (folder / "elsewhere").rename(folder / gone)
    (folder / "checkpoint").rename(folder / "checkpoint.old")  # as a kill may leave it
    assert ledger.entries(folders)[1].seconds == 12.0


def test_what_is_done_counts_whoever_did_it_and_whatever_failed_before(folders):
    failed = list(folders.values())[2]
    make(failed, 1.0)
    assert (failed / FAILURE).is_file()
    assert ledger.entries(folders)[2].state == "done"


def test_missing_are_all_that_are_not_done_and_those_that_others_run_come_last(folders, held):
    assert [job.settings.seed for job in ledger.missing(folders)] == [3, 4, 2]


def test_time_left_is_of_the_same_method(folders, held):
    # a whole run takes (30 + 12 / (1/3)) / 2 = 33 s; left are 2/3 + 1 + 1 of one
    assert ledger.seconds_left(ledger.entries(folders), 1) == pytest.approx(33 * 8 / 3)
    assert ledger.seconds_left(ledger.entries(folders), 2) == pytest.approx(33 * 4 / 3)
    assert ledger.seconds_left(ledger.entries(folders), 9) == pytest.approx(33 * 8 / 9)  # three jobs are left


def test_time_left_is_unknown_until_something_of_each_method_has_begun(folders, grid_file):
    other = plan.prepare(plan.read(grid_file({"a": {}, "b": {"method": "rgb"}}, (1,))))
    assert ledger.seconds_left(ledger.entries(other), 1) is None


# -- jobs that start from another run


@pytest.fixture
def transfers(grid_file, tmp_path, monkeypatch):
    """Two probes of PiCIE, with its run as the last row; two of DeepCluster, whose run is no job. One seed."""
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "runs"))
    base = {"method": "probe", "num_clusters": 12, "transfer_epochs": 2}
    rows = {f"{name} {row}": base | {"pretext": row, "transfer_normalized": name == "unit"}
            for name in ("raw", "unit") for row in ("picie", "deepcluster")}  # fmt: skip
    return plan.prepare(plan.read(grid_file(rows | {"picie": {"num_clusters": 12}})))


def test_jobs_that_would_wait_for_what_others_make_come_later(transfers):
    found = ledger.before(transfers)
    picie, deepcluster = (next(iter(found[job])) for job in list(transfers)[:2])
    assert picie == list(transfers.values())[-1]
    assert deepcluster not in transfers.values()
    assert [job.row for job in ledger.missing(transfers)] == [
        "raw deepcluster", "picie", "raw picie", "unit picie", "unit deepcluster",
    ]  # fmt: skip
    make(deepcluster, 1.0)  # and so nobody waits for it
    assert [job.row for job in ledger.missing(transfers)] == [
        "raw deepcluster", "unit deepcluster", "picie", "raw picie", "unit picie",
    ]  # fmt: skip


def test_time_left_holds_the_runs_that_jobs_start_from(transfers):
    raw, of_deepcluster, *_, picie = transfers.values()
    deepcluster = next(iter(ledger.before(transfers)[list(transfers)[1]]))
    for folder, seconds in ((raw, 2.0), (of_deepcluster, 4.0)):  # one of each name is known
        make(folder, seconds)
    for folder, seconds in ((picie, 10.0), (deepcluster, 5.0)):
        begin(folder, seconds)  # the first of three epochs
    # the two probes with unit features, and two thirds of each run that they start from
    assert ledger.seconds_left(ledger.entries(transfers), 1) == pytest.approx(2 + 4 + 20 + 10)
    assert ledger.seconds_left(ledger.entries(transfers), 9) == pytest.approx(36 / 3)  # three jobs are left
    (deepcluster / "progress.csv").unlink()
    assert ledger.seconds_left(ledger.entries(transfers), 1) is None
    make(deepcluster, 5.0)
    assert ledger.seconds_left(ledger.entries(transfers), 1) == pytest.approx(2 + 4 + 20)


def test_what_a_done_job_started_from_says_how_long_that_of_another_seed_takes(grid_file, tmp_path, monkeypatch):
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "runs"))
    probe = {"method": "probe", "num_clusters": 12, "pretext": "untrained"}
    folders = plan.prepare(plan.read(grid_file({"probe": probe}, (1, 2))))
    first, second = folders
    make(folders[first], 3.0)
    assert ledger.seconds_left(ledger.entries(folders), 1) is None  # of the network of the second nothing is known
    make(next(iter(ledger.before(folders)[first])), 7.0)
    assert ledger.seconds_left(ledger.entries(folders), 1) == pytest.approx(3 + 7)
    make(next(iter(ledger.before(folders)[second])), 100.0)
    assert ledger.seconds_left(ledger.entries(folders), 1) == pytest.approx(3)
    make(folders[second], 3.0)
    (next(iter(ledger.before(folders)[second])) / "result.json").unlink()  # which nobody needs any more
    assert ledger.seconds_left(ledger.entries(folders), 1) == 0


def test_the_report(folders, held):
    lines = ledger.report(ledger.entries(folders), 2).splitlines()
    assert lines[0] == "running  a, seed 2: 33% of its epochs, 12 s"
    assert lines[1] == "failed   a, seed 3: ValueError: no"
    assert lines[2].strip().startswith("open ")
    assert lines[3] == "waiting  a, seed 4"
    assert lines[4:] == ["1 done, 1 running, 1 failed, 1 waiting", "time left: about 44 s with 2 workers"]


def test_the_preview_names_settings_and_folder(folders, grid_file):
    text = ledger.preview(plan.read(grid_file({"a": {}})), ledger.entries(folders))
    assert "waiting  a, seed 4: " in text
    assert text.count("image_size=32") == 4
    assert all(str(folder) in text for folder in folders.values())


def test_the_preview_says_what_the_grid_and_once_what_a_row_is_about(folders, grid_file):
    grid = plan.read(grid_file([{"name": "a", "about": "row " * 50}], about="grid " * 50))
    lines = ledger.preview(grid, ledger.entries(folders)).splitlines()
    assert " ".join(lines[:3]).split() == ["grid"] * 50
    assert lines[3].startswith("done     a, seed 1: ")
    assert " ".join(lines[4:6]).split() == ["row"] * 50
    assert lines[4].startswith(" " * 9 + "row")
    assert len(lines) == 3 + 4 * 2 + 2
    assert max(map(len, lines[:3] + lines[4:6])) <= 110


def test_what_is_left_when_a_grid_was_stopped(folders):
    said = ledger.halt(ledger.entries(folders))
    assert said == "stopped: 1 of 4 runs are done, 1 part-way; the same command goes on"


def test_the_results_of_a_grid_are_asked_for_by_what_its_jobs_share(grid_file, tmp_path):
    given = {"recipe": "paper", "device": "cpu", "epochs": 2, "data_root": tmp_path}
    file = grid_file({"a": {"epochs": 2, "pretrained": False}, "b": {"epochs": 2, "balance": "none"}}, (1, 2))
    jobs = plan.read(file, given).jobs()
    here = {job: places.runs_root() / str(number) for number, job in enumerate(jobs)}
    words = ledger.query(here).split()
    shared = words[3::2]
    assert (words[:3], set(words[2::2])) == (["picie", "results", "-p"], {"-p"})
    assert {"dataset=scenes", "recipe=paper", "epochs=2", "pretrained=false", "image_size=32"} <= set(shared)
    assert not [word for word in shared if word.startswith(("seed=", "balance=", "device=", "data_root="))]
    asked = options.matches(shared)
    assert all(asked(job.settings) for job in jobs)
    (alone,) = plan.read(file, given, "1", ["b"]).jobs()
    asked = options.matches(ledger.query({alone: places.runs_root() / "b"}).split()[3::2])
    assert [asked(job.settings) for job in jobs] == [False, True, False, True]  # of any seed
    there = {job: tmp_path / "my runs" / folder.name for job, folder in here.items()}
    assert ledger.query(there) == f"PICIE_RUNS='{tmp_path}/my runs' {' '.join(words)}"
    assert ledger.query(here | {jobs[0]: there[jobs[0]]}) == " ".join(words)  # of two roots
    (tmp_path / "link").symlink_to(places.runs_root(), target_is_directory=True)
    assert ledger.query({job: tmp_path / "link" / folder.name for job, folder in here.items()}) == " ".join(words)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_durations(seconds, said):
    assert ledger.duration(seconds) == said


def test_what_a_setting_given_for_all_rows_replaces_of_a_methods_own_is_said(grid_file):
    """IIC's rate is the supplement's 1e-4, whatever the recipe, and once was PiCIE's by such a setting, unnoticed."""
    iic = {"method": "iic", "iic_displacement": 2}
    rows = {"a": {}, "b": iic, "c": {**iic, "trunk": "res12"}}
    given = {"learning_rate": 1e-3, "flip_probability": 0.5}
    assert ledger.replaced(plan.read(grid_file(rows), given), given) == (
        "-p learning_rate=0.001 takes the place of the method's own value in 'b' (0.0001), 'c' (0.0001)"
    )
    assert ledger.replaced(plan.read(grid_file(rows), given, only=["a"]), given) == ""
    comus = plan.read(grid_file({"o": {"method": "pseudomasks", "pretext": "hog"}}), {"num_clusters": 5})
    assert ledger.replaced(comus, {"num_clusters": 5}).endswith("in 'o' (4)")  # things of the scenes
