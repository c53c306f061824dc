"""More than one process: the ranks of a run, the lock on a folder, and the tie of a child to its parent."""

import os


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
