"""A stand-in for the process that a job of a grid is."""

from pathlib import Path

from picie_core.grid.pool import Watch

STUB = '''\
"""Instead of papermill and a kernel: leaves what a run leaves, or fails, dies or waits as its row's seed says."""
import json, os, pathlib, signal, sys, threading, time

def leash():
    os.read(0, 1)
    os._exit(75)

spec = json.loads(sys.argv[1])
seed = spec["given"]["seed"]
if seed != 96:
    threading.Thread(target=leash, daemon=True).start()
folder = pathlib.Path(spec["output"]).parent
folder.mkdir(parents=True, exist_ok=True)
with (folder / "starts").open("a") as file:
    file.write(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
starts = len((folder / "starts").read_text().splitlines())
if seed == 90:
    sys.stderr.write(f"ValueError: no\\nOpen {folder}\\n")
    sys.exit(2)
if seed == 95:
    sys.stderr.write(f"OSError: full: '{folder}/state'\\nOpen {folder}\\n")
    sys.exit(2)
if seed == 91 or (seed == 92 and starts == 1):
    os.kill(os.getpid(), signal.SIGKILL)
if seed in (93, 96):
    for _ in range(1200):
        if (folder / "fast").exists() and starts > 1:
            break
        time.sleep(0.1)
time.sleep(0.2)
(folder / "settings.yaml").write_text("{settings: {method: rgb}, sources: {}}")
(folder / "model.safetensors").write_bytes(b"\\x02" + bytes(7) + b"{}")
result = {"key": folder.name, "seconds": 2.0, "classes": None, "commit": None, "stub": True}
(folder / "result.json").write_text(json.dumps(result))
'''


def begin(folder: Path, *seconds: float) -> None:
    """Leave in a run's folder what it does after epochs of so many seconds."""
    (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint" / "counters.json").touch()
    rows = "".join(f"{epoch},{taken}\n" for epoch, taken in enumerate(seconds))
    (folder / "progress.csv").write_text(f"epoch,seconds\n{rows}")


def starts(folder: Path) -> list[str]:
    """What each start of a stub noted: process, threads, graphics card."""
    file = folder / "starts"
    return file.read_text().splitlines() if file.is_file() else []


class Noted(Watch):
    """Notes what it is told, by seed."""

    def __init__(self):
        self.began, self.over, self.stopped = [], {}, 0

    def started(self, job):
        self.began.append(job.settings.seed)

    def ended(self, job, failure):
        self.over[job.settings.seed] = failure

    def stopping(self):
        self.stopped += 1


class Leaves(Noted):
    """Raises, as Ctrl-C does, when the first job is over."""

    def ended(self, job, failure):
        raise KeyboardInterrupt
