"""The C library's memory: small and middling blocks are kept between steps, and not faulted in again."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_LARGEST = 2**31 - 1

KEPT = 32 * 2**20
"""Bytes of the largest block that is kept, the most that glibc allows. Larger ones (the first activations of 16 images
at 320 x 320) leave holes that no other fits into: kept too, they made a step there a tenth faster and a quarter of a
gigabyte larger."""


def keep_freed_memory() -> bool:
    """Tell glibc to serve blocks of up to `KEPT` bytes from a heap that it keeps, for the rest of the process.

    By default each activation of a few megabytes is mapped when it is made and unmapped when it is freed, and the next
    step pays for every page again: on a virtual machine a third of a forward's time.

    Returns:
        Whether it took effect; elsewhere than under glibc nothing happens. Numbers do not change.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, KEPT)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))
