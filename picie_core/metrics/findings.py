"""What the authors' release computes as its scores of things and stuff, from first principles. No score of ours.

After matching, the release orders the confusion matrix by cluster number and takes its first rows and columns for
things and its last for stuff. Cluster numbers are arbitrary: the blocks are of arbitrary classes.
"""

import numpy as np

from picie_core import draws
from picie_core.metrics import Scores, match
from picie_core.metrics.partitions import block


def released_partition(matrix: np.ndarray, num_things: int) -> tuple[Scores, Scores]:
    """The release's "things" and "stuff": the blocks of the classes that clusters 0 to num_things - 1 match, and of the
    others.

    Args:
        matrix: (K, K) counts by class and cluster, things first as in COCO-Stuff-27.
        num_things: how many of the classes are things, 1 to K - 1.

    Returns:
        Scores of the two blocks, in percent.

    Raises:
        ValueError: the matrix is not square, or `num_things` leaves a block empty.
    """
    classes = _square_match(matrix)
    if not 0 < num_things < len(classes):
        raise ValueError(f"{num_things} things: expected 1 to {len(classes) - 1}, of {len(classes)} classes")
    return block(matrix, classes, classes[:num_things]), block(matrix, classes, classes[num_things:])


def random_blocks(matrix: np.ndarray, size: int, count: int, seed: int) -> np.ndarray:
    """Scores of blocks of randomly chosen classes: what a slice scores that knows nothing of things and stuff.

    Args:
        matrix: (K, K) counts by class and cluster.
        size: classes a block, 1 to K.
        count: how many blocks.
        seed: the draws derive from it.

    Returns:
        (count, 2) float64: accuracy and mean IoU of each block, in percent; nan for a block that holds no pixel.

    Raises:
        ValueError: the matrix is not square, or `size` is none of 1 to K.
    """
    classes = _square_match(matrix)
    if not 1 <= size <= len(classes):
        raise ValueError(f"blocks of {size} classes: expected 1 to {len(classes)}")
    found = []
    for number in range(count):
        members = draws.permutation(len(classes), (seed, "random block", number))[:size]
        scores = block(matrix, classes, members)
        found.append((scores.accuracy, scores.mean_iou))
    return np.array(found).reshape(count, 2)


def _square_match(matrix: np.ndarray) -> np.ndarray:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a confusion matrix of shape {matrix.shape}: the release knows as many clusters as classes")
    return match(matrix)
