"""`heatmaps`, and the figures that are made of it: the numbers are there, and can be read on every shade."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from picie_core import figures
from picie_core.figures import diagrams, heatmaps

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def luminance(color):
    """Relative luminance of WCAG 2, of a colour in sRGB."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    """Contrast ratio of WCAG 2, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_by_hand():
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.01)  # the grey that just fails


CONFUSION = np.diag([100, 80, 60, 40, 20]) + np.diag([20, 40, 60, 80], 1)
IOU = pd.DataFrame(np.linspace(0, 100, 101)[:, None] * [1.0, 0.3], columns=["a", "b"])


@pytest.mark.parametrize(
    "made",
    [lambda: figures.confusion(CONFUSION, list("abcde")), lambda: diagrams.iou_by_class(IOU)],
    ids=["confusion", "iou"],
)
def test_every_number_can_be_read(made):
    figure = made()
    figure.canvas.draw()
    (cells,), texts = figure.axes[0].collections, figure.axes[0].texts
    assert len(texts) == len(cells.get_facecolor()) > 20
    for color, text in zip(cells.get_facecolor(), texts, strict=True):
        assert contrast(text.get_color(), color) >= 4.5, text
        assert text.get_fontsize() >= 8.5


@pytest.mark.parametrize(("highest", "top"), [(23.4, 30), (70.0, 70), (0.0, 10), (np.nan, 10)])
def test_the_shades_reach_to_the_largest_value_rounded_up_to_a_ten(highest, top):
    _, axis = plt.subplots()
    heatmaps.draw(np.array([[highest, np.nan]]), axis, "IoU (%)")
    assert axis.collections[0].get_clim() == (0, top)
    assert [text.get_text() for text in axis.texts] == ([] if np.isnan(highest) else [f"{highest:.0f}"])
