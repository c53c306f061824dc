"""`devices`: where a run is computed."""

import json

import torch

from picie_core import devices


def test_environment_says_what_made_the_numbers():
    found = devices.environment(torch.device("cpu"))
    assert found["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert set(found["packages"]) == set(devices.PACKAGES)
    assert (found["device"], found["gpu"]) == ("cpu", None)
    assert found["cpu_capability"]
    json.dumps(found)
