"""`allocator`: after the call, memory that was freed is used again without new page faults."""

import subprocess
import sys

import pytest

from picie_core.devices.allocator import KEPT

FAULTS = """
import resource, sys
import numpy as np
from picie_core.devices.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(size, dtype=np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(int(sys.argv[2]))
print(faults(int(sys.argv[2])))
"""


def faults(how, size):
    words = [sys.executable, "-c", FAULTS, how, str(size)]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_used_again_up_to_the_largest_block_that_is_kept():
    assert faults("keep", 20_000_000) < 50 < faults("default", 20_000_000)
    assert faults("keep", KEPT + 2**20) > 50  # given back, and faulted in again
