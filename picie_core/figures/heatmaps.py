"""Heat maps of percentages with a number in each cell, black on light shades, so that every number can be read."""

import math

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

SHADES = sns.blend_palette(["#eef3f7", "#ffd98a", "#ee7b4a"], as_cmap=True)
"""From low to high. The darkest leaves black a contrast ratio (WCAG 2) of 7.5; text of this size needs 4.5."""


def draw(values: np.ndarray | pd.DataFrame, axis: Axes, label: str, numbers: bool = True, shrink: float = 1.0) -> None:
    """Fill an axis with a heat map, its shades up to the largest value rounded up to a ten.

    Args:
        values: percent, (rows, columns) from 0 up; a table's names stand along the axes. Where there is nan, nothing.
        axis: to fill.
        label: what the values are, beside the bar of shades.
        numbers: whether each cell shows its value.
        shrink: the bar's share of the height.
    """
    highest = 10 * max(1, math.ceil(np.nanmax(values, initial=0) / 10))
    sns.heatmap(
        values, ax=axis, cmap=SHADES, vmin=0, vmax=highest, annot=numbers, fmt=".0f",
        annot_kws={"fontsize": 9, "color": "black"}, cbar_kws={"label": label, "shrink": shrink},
    )  # fmt: skip
