"""A stand-in for the process that a job of a grid is."""

from pathlib import Path

STUB = '''\
"""Instead of papermill and a kernel: leaves what a run leaves, or fails, dies or waits as its row's seed says."""
import json, os, pathlib, signal, sys, threading, time

def leash():
    os.read(0, 1)
    os._exit(75)

threading.Thread(target=leash, daemon=True).start()
spec = json.loads(sys.argv[1])
folder = pathlib.Path(spec["output"]).parent
folder.mkdir(parents=True, exist_ok=True)
with (folder / "starts").open("a") as file:
    file.write(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
starts = len((folder / "starts").read_text().splitlines())
seed = spec["given"]["seed"]
if seed == 90:
    sys.stderr.write(f"ValueError: no\\nOpen {folder}\\n")
    sys.exit(2)
if seed == 95:
    sys.stderr.write(f"OSError: full: '{folder}/state'\\nOpen {folder}\\n")
    sys.exit(2)
if seed == 91 or (seed == 92 and starts == 1):
    os.kill(os.getpid(), signal.SIGKILL)
if seed == 93:
    for _ in range(1200):
        if (folder / "fast").exists() and starts > 1:
            break
        time.sleep(0.1)
time.sleep(0.2)
(folder / "result.json").write_text(json.dumps({"seconds": 2.0, "stub": True}))
'''


def starts(folder: Path) -> list[str]:
    """What each start of a stub noted: process, threads, graphics card."""
    file = folder / "starts"
    return file.read_text().splitlines() if file.is_file() else []
