"""The colours of clusters: of those that go by a class, the class's; of the others, their own."""

import numpy as np

from picie_core import records
from picie_core.classes import distinct_colors
from picie_core.records import Run

MOST_DISTINCT = (
    "#e6194b #3cb44b #ffe119 #4363d8 #f58231 #911eb4 #46f0f0 #f032e6 #bcf60c #fabebe "
    "#008080 #e6beff #9a6324 #fffac8 #800000 #aaffc3 #808000 #ffd8b1 #000075 #808080"
).split()
"""Sasha Trubetskoy's "20 simple, distinct colors" (2017), most distinct first: of the palettes tried, and mixed with a
black, grey or white photograph as in an overlay, its two nearest are furthest from each other (CIEDE2000: 9.2;
matplotlib's tab20, which pairs a dark and a light shade of a hue, 8.1; `distinct_colors` 6.7; seaborn's husl 3.5)."""


def of_clusters(n: int) -> np.ndarray:
    """`n` colours for clusters that have no class, uint8 (n, 3): `MOST_DISTINCT`, then those of `distinct_colors`."""
    own = np.array([tuple(bytes.fromhex(color[1:])) for color in MOST_DISTINCT], dtype=np.uint8)
    return np.concatenate([own, distinct_colors(n)[len(own) :]])[:n]


def of_run(run: Run) -> np.ndarray:
    """A colour for each cluster of a run, uint8 (K, 3): that of the class that it goes by (`records.shown_classes`; the
    paper's pictures), and one of its own, the background's black, where it goes by none or nothing was scored."""
    palette = of_clusters(run.settings.predicted_clusters)
    if (background := run.settings.background) is not None:
        palette[background] = 0
    if run.confusion is None or run.classes is None:
        return palette
    classes = records.shown_classes(run.settings, run.confusion)
    named = classes >= 0
    palette[named] = run.classes.colors[classes[named]]
    return palette
