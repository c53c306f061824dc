"""`grid.cluster`: the same jobs on dask's workers."""

import os
import signal
import threading

import psutil
import pytest
from children import gone, wait_for
from grid_stubs import Leaves, Noted, starts

from picie_core import records
from picie_core.grid import cluster, plan
from picie_core.grid.plan import GridError

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


@pytest.fixture(scope="module")
def scheduler():
    """Two workers, processes of one thread each, restarted by their nannies."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as local:
        yield local


@pytest.fixture
def prepared(grid_file, stub):
    def make(*seeds):
        return plan.prepare(plan.read(grid_file({"a": {}}, seeds)))

    return make


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """What is on a machine with Slurm."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


def work(scheduler, stub, folders):
    """Run on the scheduler's workers, where jobs are stubs too."""
    noted = Noted()
    with cluster.connect(scheduler.scheduler_address) as client:
        client.run(use_stub, str(stub))
        cluster.work(client, folders, noted)
    return noted


def use_stub(script):
    import sys

    from picie_core.grid import job

    job.COMMAND = [sys.executable, script]


@pytest.mark.slow
def test_jobs_are_done_fail_and_die_as_on_one_machine(scheduler, prepared, stub):
    folders = prepared(1, 2, 90, 91, 92)
    noted = work(scheduler, stub, folders)
    assert {seed: failure and failure.reason for seed, failure in noted.over.items()} == {
        1: None, 2: None, 92: None, 90: "ValueError: no", 91: "its process died (signal 9): it said nothing",
    }  # fmt: skip
    assert [records.is_done(folder) for folder in folders.values()] == [True, True, False, False, True]
    assert [len(starts(folder)) for folder in folders.values()] == [1, 1, 1, 3, 2]
    assert sorted(noted.began) == [1, 2, 90, 91, 91, 91, 92, 92]
    assert noted.stopped == 0


def test_leaving_early_ends_what_runs_and_starts_no_more(scheduler, prepared, stub):
    folders = prepared(1, 93, *range(100, 120))
    slow, *waiting = list(folders.values())[1:]
    with cluster.connect(scheduler.scheduler_address) as client:
        client.run(use_stub, str(stub))
        with pytest.raises(KeyboardInterrupt):
            cluster.work(client, folders, leaves := Slow(slow))
        process = int(starts(slow)[0].split()[0])
        assert leaves.stopped == 1
        wait_for(lambda: gone(process), 20)
        wait_for(lambda: not any(client.processing().values()), 20)
        begun = [bool(starts(folder)) for folder in waiting]
    assert not records.is_done(slow)
    assert not all(begun)


class Slow(Leaves):
    """Leaves when a certain job has begun."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def ended(self, job, failure):
        wait_for(lambda: starts(self.folder), 20)
        super().ended(job, failure)


@pytest.mark.parametrize(("address", "why"), [("tcp://127.0.0.1:9", r"\(Timed out .*"), ("head", r"\(missing port")])
def test_nobody_answers(monkeypatch, address, why):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1.0)
    with (
        pytest.raises(GridError, match=rf"no dask scheduler answers at '{address}' {why}.* Start one with `dask sch"),
        cluster.connect(address),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("cores: 4\ncores: 8", "line 2 repeats the key 'cores' of line 1"),
        ("- a", "expected arguments"),
        ("queue: x\nfarbe: red", "SLURMCluster refuses it"),
        ("jobs: 0", r"jobs = 0: expected how many Slurm jobs are to work, 1 or more"),
        ("jobs: many", r"jobs = 'many': expected"),
        ("cores: 4\nprocesses: 4", r"processes = 4: expected 1, .*: leave it out, and give cores"),
        ("walltime: 12:00:00", r'walltime = 43200: expected a text, such as walltime: "12:00:00"'),
    ],
)
def test_a_slurm_file_that_is_not_right(tmp_path, sbatch, content, message):
    file = tmp_path / "slurm.yaml"
    file.write_text(content)
    with pytest.raises(GridError, match=message), cluster.slurm(file):
        pass


def test_without_slurm_it_says_where_to_start(tmp_path, monkeypatch):
    """It waited for workers that could not come."""
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "slurm.yaml"
    file.write_text("cores: 1\nmemory: 1GB\n")
    with pytest.raises(GridError, match="this machine has no sbatch: start"), cluster.slurm(file):
        pass


def test_a_slurm_file_becomes_slurm_jobs(tmp_path, sbatch, monkeypatch):
    """There is no Slurm here: what sbatch would be given is looked at."""
    import dask_jobqueue.slurm

    file = tmp_path / "slurm.yaml"
    file.write_text("cores: 2\nmemory: 8GB\nqueue: gpu\nwalltime: '01:00:00'\njobs: 3\n")
    asked, scripts = [], []

    class Watched(dask_jobqueue.slurm.SLURMCluster):
        def __init__(self, **given):
            super().__init__(**given)
            scripts.append(self.job_script())

        def scale(self, n=None, jobs=0, **_):
            asked.append(n or jobs)

    monkeypatch.setattr(dask_jobqueue.slurm, "SLURMCluster", Watched)
    with cluster.slurm(file) as client:
        assert client.scheduler_info()["workers"] == {}
        wait_for(lambda: asked, 20)
    assert asked[0] == 3  # closing scales down
    assert "#SBATCH -p gpu" in scripts[0]
    assert "#SBATCH -t 01:00:00" in scripts[0]
    assert "--nthreads 2 " in scripts[0]  # one process


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(GridError, match=r"pip install -e '\.\[cluster\]'"), cluster.connect("tcp://127.0.0.1:9"):
        pass


def test_a_killed_workers_job_is_done_by_another(scheduler, prepared, stub):
    folders = prepared(1, 93)
    slow = list(folders.values())[1]
    killed = []
    with cluster.connect(scheduler.scheduler_address) as client:
        client.run(use_stub, str(stub))

        class Kills(Noted):
            def ended(self, job, failure):
                assert failure is None
                if job.settings.seed == 1:  # the other worker waits for the slow stub
                    (slow / "fast").touch()
                    killed.append(worker_of(client))
                    os.kill(killed[0], signal.SIGKILL)

        cluster.work(client, folders, Kills())
    assert killed
    assert len(starts(slow)) == 2
    assert records.is_done(slow)


@pytest.mark.slow
def test_a_slurm_job_that_ends_is_followed_by_another(prepared, stub, sbatch, tmp_path, monkeypatch):
    """As at its walltime, which takes the worker and its nanny. Slurm's jobs are processes here."""
    import dask
    import dask_jobqueue.local
    import dask_jobqueue.slurm

    monkeypatch.setattr(dask_jobqueue.slurm, "SLURMCluster", dask_jobqueue.local.LocalCluster)
    preload = tmp_path / "preload.py"
    preload.write_text(f"import sys\nfrom picie_core.grid import job\njob.COMMAND = [sys.executable, {str(stub)!r}]\n")
    file = tmp_path / "slurm.yaml"
    file.write_text(f"{{cores: 1, memory: 1GB, jobs: 1, worker_extra_args: [--preload, {preload}]}}")
    folders = prepared(93, 100)  # one runs, one waits
    slow = next(iter(folders.values()))
    killed = []

    class Kills(Noted):
        def started(self, job):
            super().started(job)
            if not killed:
                killed.append(int(wait_for(lambda: starts(slow), 20)[0].split()[0]))
                (slow / "fast").touch()
                end_the_worker(*killed)

    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}), cluster.slurm(file) as client:
        assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.allowed_failures) == cluster.LOST_AT_MOST
        waits = threading.Thread(target=cluster.work, args=(client, folders, noted := Kills()), daemon=True)
        waits.start()
        waits.join(120)  # not for ever, as it would without another
    assert noted.over == {93: None, 100: None}
    assert len(starts(slow)) == 2


def end_the_worker(stub):
    """Kill all that belongs to the worker that started a stub."""
    nanny = next(p for p in psutil.Process(stub).parents() if "distributed.cli.dask_worker" in p.cmdline())
    for process in [*nanny.children(recursive=True), nanny]:
        process.kill()


def worker_of(client):
    """The process of the worker that is running something."""
    pids = client.run(os.getpid)
    busy = [address for address, tasks in client.processing().items() if tasks]
    return pids[busy[0]]
