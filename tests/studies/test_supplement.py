"""`supplement`: what the paper prints, and how it is shown."""

import numpy as np
import pandas as pd

from picie_core.studies import supplement


def test_the_rows_that_the_paper_prints_twice_are_found():
    assert supplement.repeated(supplement.published_rows()) == [("contrast", "crop")]


def test_a_readable_table_has_rows_in_words_and_no_empty_columns():
    rows = list(supplement.published_rows())
    words = [supplement.in_words(flags) for flags in rows]
    assert words[0] == "none"
    assert words[-2:] == ["flip and crop", "all eight"]
    assert "all six of colour and blur" in words
    assert len(set(words)) == 12
    table = pd.DataFrame(
        {
            "row": ["none", "hflip, random_crop"], "accuracy": [26.13, 24.55], "accuracy sd": [np.nan, 0.95],
            "accuracy, paper": [48.09, 47.6], "mIoU": [12.05, 11.79], "mIoU sd": [np.nan, 0.67],
            "mIoU, paper": [13.84, 13.76], "mIoU lost": [-0.01, 0.26], "low": [np.nan, -1.26], "high": [np.nan, 1.78],
            "mIoU lost, paper": [0.0, 13.84 - 13.76], "agreement": [100.0, 60.59], "runs": ["abc:1", "abc:1"],
        }
    )  # fmt: skip
    assert supplement.readable(table).reset_index().to_numpy().tolist() == [
        ["none", "26.1", 48.09, "12.1", 13.84, "0.0", 0.0, 100.0],
        ["flip and crop", "24.6 ± 1.0", 47.6, "11.8 ± 0.7", 13.76, "0.3 [-1.3, 1.8]", 0.08, 60.6],
    ]
