"""The methods by name."""

from collections.abc import Mapping

from picie_core.methods.chance import Position, Random, Rgb
from picie_core.methods.method import Batch, Method, Pass
from picie_core.methods.picie import Picie
from picie_core.methods.untrained import Untrained

METHODS: Mapping[str, type[Method]] = {
    "picie": Picie,
    "untrained": Untrained,
    "random": Random,
    "rgb": Rgb,
    "position": Position,
}

__all__ = ["METHODS", "Batch", "Method", "Pass"]
