"""`grid.leash`: how the process of a job ends says whether another attempt may help."""

import pytest

from picie_core import execution
from picie_core.grid import leash
from picie_core.settings import SettingsError

SPEC = {"notebook": "00_run", "given": {"seed": 2}, "output": "out.ipynb"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, leash.DONE),
        (execution.NotebookError("a cell failed"), leash.FAILED),
        (SettingsError("no such value"), leash.FAILED),
        (OSError(28, "No space left on device"), leash.FAILED),
        (execution.KernelDiedError("Kernel died"), leash.DIED),
    ],
    ids=str,
)
def test_the_exit_status(monkeypatch, capsys, error, status):
    asked = []

    def execute(notebook, given, output, quiet):
        asked.append((notebook.stem, given, str(output)))
        if error:
            raise error

    monkeypatch.setattr(leash.tether, "hold", lambda status: None)  # pytest's standard input is no leash
    monkeypatch.setattr(execution, "execute", execute)
    assert leash.main(SPEC) == status
    assert asked == [("00_run", {"seed": 2}, "out.ipynb")]
    assert capsys.readouterr().err == (f"{error}\n" if error else "")
