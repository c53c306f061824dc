"""Whether an image costs the same in a large data set as in a small one."""

from collections.abc import Iterator
from itertools import pairwise
from statistics import mean
from typing import Any

from picie_core.benchmark import epoch
from picie_core.settings import Settings, SettingsError

COUNTS = (6000, 12_000, 32_000)
FEW = (100, 200, 400)
SIZES = {"image_size": 64, "base_size": 64, "val_images": 2, "epochs": 1}


def measure(settings: Settings, quick: bool = False) -> dict[str, Any]:
    """Time an epoch over more and more training images, at 64 x 64 pixels, of a method with all its phases; then again
    from the most images to the fewest, so that an even drift of the machine's speed bends no slope.

    It is a run's first epoch: what only a first one has to do adds to each alike, and leaves the slopes as they are.

    Args:
        settings: of the run; sizes and counts are replaced.
        quick: a few hundred images.

    Raises:
        SettingsError: the data set has fewer images.

    Returns:
        By number of images `timed`, the seconds of both epochs without scoring, and `seconds`, their mean; `slopes`: ms
        that each further image costs by those means, between one number and the next; `sizes`, which stand above those
        of the settings.
    """
    counts = FEW if quick else COUNTS
    timed: dict[int, list[float]] = {count: [] for count in counts}
    for count in (*counts, *reversed(counts)):
        run = settings.replace(train_images=count, **SIZES)
        made, _, ms = epoch.timed(run, before=0)
        if (there := made.result["train"]["images"]) < count:
            raise SettingsError(f"growth needs {count} images, and {run.dataset} has {there}: give dataset=scenes")
        timed[count].append(ms * count / 1000)
    seconds = {count: mean(both) for count, both in timed.items()}
    return {
        "seconds": {str(count): value for count, value in seconds.items()},
        "timed": {str(count): both for count, both in timed.items()},
        "slopes": [1000 * (seconds[b] - seconds[a]) / (b - a) for a, b in pairwise(counts)],
        "sizes": SIZES,
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The measurements as lines of text."""
    for count, seconds in result["seconds"].items():
        both = " and ".join(f"{value:.1f}" for value in result["timed"][count])
        yield f"{f'{count} images':28} {seconds:8.1f} s an epoch ({both})"
    for slope in result["slopes"]:
        yield f"{'each image more':28} {slope:8.2f} ms"
    apart = 100 * (max(result["slopes"]) / min(result["slopes"]) - 1)
    yield f"{'slopes apart':28} {apart:8.0f} %"
