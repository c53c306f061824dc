"""Starting the processes of a run on several devices, by torchrun's own launcher, and saying what became of them.

`python -m picie_core.launcher SETTINGS DEVICES` watches them in a process of its own, for it takes over signals.
"""

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from picie_core.ranks import RankError
from picie_core.settings import Settings

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

GRACE_SECONDS = 45
"""The launcher, told to stop, stops its processes within 30 seconds."""


def launch(settings: Settings) -> None:
    """Run `picie train` in `settings.devices` processes on this machine and wait for them.

    When one dies, the others are stopped. What they print goes where this process prints.

    Raises:
        RankError: one of them failed; the message has its reason. The last checkpoint of the run is kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.yaml"
        file.write_text(settings.to_yaml(), encoding="utf-8")
        threads = max(1, settings.threads // settings.devices)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(file), str(settings.devices)],
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        try:
            status = process.wait()
        except BaseException:  # Ctrl-C: not without the others
            process.terminate()
            process.wait(GRACE_SECONDS)
            raise
        if status:
            said = file.with_suffix(".failed")
            cause = said.read_text(encoding="utf-8") if said.is_file() else f"the launcher ended with status {status}"
            raise RankError(
                f"{cause}. All {settings.devices} processes were stopped; the last checkpoint is kept, and "
                "the same call again goes on from there"
            )


def watch(file: Path, devices: int) -> None:
    """Start the processes of a settings file and wait for them; where one fails, say which in `FILE.failed`, and end
    with status 1."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=devices, run_id=uuid.uuid4().hex, max_restarts=0,
        rdzv_backend="c10d", rdzv_endpoint="localhost:0",
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", "picie_core", "train", str(file))
    except ChildFailedError as error:
        file.with_suffix(".failed").write_text(_cause(error.failures.values(), devices), encoding="utf-8")
        raise SystemExit(1) from None


def _cause(failures: Iterable["ProcessFailure"], devices: int) -> str:
    """The failure that the others followed from, in words: what was killed, else what failed first."""
    stopped = {0, -signal.SIGTERM}
    first = min(failures, key=lambda f: (f.exitcode >= 0 or f.exitcode in stopped, f.timestamp))
    where = f"the process of device {first.local_rank} of {devices}"
    if first.exitcode < 0 and first.exitcode not in stopped:
        return f"{where} was killed by {signal.Signals(-first.exitcode).name}"
    return f"{where} failed: {first.message}"


if __name__ == "__main__":
    watch(Path(sys.argv[1]), int(sys.argv[2]))
