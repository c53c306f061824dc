"""The precision that sums over pixels need, whatever the network computes in."""

import torch
from torch import Tensor


def raised(x: Tensor) -> Tensor:
    """In float32 at least: bfloat16 is raised to it, float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
