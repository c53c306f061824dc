"""What executes a notebook, by papermill, in a process that is kept on a leash: one of a grid, or of the demo.

The leash is standard input, a pipe that nobody writes to: when whoever started the process dies, by whatever signal,
the pipe closes and the process ends its kernel and itself. (Killed by itself it cannot end its kernel, which notices
within a second that its parent is no more.) So nothing goes on writing that nobody waits for.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from picie_core.errors import WorkbookError
from picie_core.processes import tether

DONE, FAILED, DIED = 0, 2, 75
"""Exit statuses: done; failed, and would fail again; the kernel died (out of memory, or killed)."""


def main(spec: Mapping[str, Any]) -> int:
    """Execute `notebook`, `given` its parameters, into `output`; the exit status."""
    tether.hold(DIED)
    from picie_core import execution  # seconds of import, for which a grid that starts nothing need not wait

    try:
        execution.execute(execution.find(spec["notebook"]), spec["given"], Path(spec["output"]), quiet=True)
    except execution.KernelDiedError as error:
        sys.stderr.write(f"{error}\n")
        return DIED
    except (WorkbookError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return DONE


if __name__ == "__main__":
    raise SystemExit(main(json.loads(sys.argv[1])))
