"""The methods by name."""

from collections.abc import Mapping

from picie_core.methods.chance import Position, Random, Rgb
from picie_core.methods.comus import Comus
from picie_core.methods.deepcluster import DeepCluster
from picie_core.methods.iic import Iic
from picie_core.methods.method import Batch, Method, Pass
from picie_core.methods.picie import Picie
from picie_core.methods.pseudomasks import Pseudomasks
from picie_core.methods.supervised import Supervised
from picie_core.methods.transfer import Probe, Retraining
from picie_core.methods.untrained import Untrained

METHODS: Mapping[str, type[Method]] = {
    "picie": Picie,
    "deepcluster": DeepCluster,
    "iic": Iic,
    "supervised": Supervised,
    "probe": Probe,
    "retraining": Retraining,
    "pseudomasks": Pseudomasks,
    "comus": Comus,
    "untrained": Untrained,
    "random": Random,
    "rgb": Rgb,
    "position": Position,
}

__all__ = ["METHODS", "Batch", "Method", "Pass"]
