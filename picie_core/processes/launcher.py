"""Starting the processes of a run on several devices, by torchrun's own launcher, and saying what became of them.

`python -m picie_core.processes.launcher SETTINGS DEVICES` watches them in a process of its own, for it takes over
signals.
"""

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from picie_core.processes import tether
from picie_core.processes.ranks import RankError
from picie_core.settings import Settings, SettingsError

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

GRACE_SECONDS = 45
"""The launcher, told to stop, stops its processes within 30 seconds."""

REFUSED = 2
"""Exit status of a process that says itself what is wrong, as of the `picie` command."""

_LAUNCHED = "PICIE_LAUNCHED"


def launched() -> bool:
    """Whether this process was started by `launch`, whose caller holds the run's lock."""
    return _LAUNCHED in os.environ


def launch(settings: Settings) -> None:
    """Run `picie train` in `settings.devices` processes on this machine and wait for them.

    When one dies, the others are stopped; when this process dies, all of them. What they print goes where this process
    prints.

    Raises:
        RankError: one of them failed; the message has its reason. The last checkpoint of the run is kept.
        SettingsError: there are fewer GPUs than `devices`.
    """
    cards = torch.cuda.device_count()
    if settings.devices > cards and (settings.device.startswith("cuda") or (settings.device == "auto" and cards)):
        raise SettingsError(
            f"devices = {settings.devices}, and this machine shows {cards} GPUs: give no more, or device = 'cpu'"
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.yaml"
        file.write_text(settings.to_yaml(), encoding="utf-8")
        threads = max(1, settings.threads // settings.devices)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(file), str(settings.devices)],
            env=os.environ | {"OMP_NUM_THREADS": str(threads), _LAUNCHED: "1"},
            stdin=subprocess.PIPE,  # the tether
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
                f"{cause}. All {settings.devices} processes were stopped; the last checkpoint is kept, and the same "
                "call (without fresh=True) goes on from there"
            )


def watch(file: Path, devices: int) -> None:
    """Start the processes of a settings file and wait for them; where one fails, say which in `FILE.failed`, and end
    with status 1."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    tether.hold(1)
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
    """The failure that the others followed from, in words: what was killed, else what said itself why it ended, else
    what failed first. (A rank whose peer is gone fails too, in the same second.)"""

    def killed(failure: "ProcessFailure") -> bool:
        return failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM

    first = min(failures, key=lambda f: (not killed(f), f.exitcode != REFUSED, f.timestamp))
    where = f"the process of device {first.local_rank} of {devices}"
    if killed(first):
        return f"{where} was killed by {signal.Signals(-first.exitcode).name}"
    said: Any = first.message  # a text, or what `record` noted of an exception
    return f"{where} failed: {said['message'] if isinstance(said, dict) else said}"


if __name__ == "__main__":
    watch(Path(sys.argv[1]), int(sys.argv[2]))
