"""The supplement's Table 2 (transformed test images) as published, and how a notebook shows ours beside it."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from picie_core.tables import excerpt, published

TABLE = "picie_supp_table2_tta"


def published_rows() -> dict[tuple[str, ...], dict[str, float]]:
    """The supplement's Table 2: flags -> metric -> percent, in its order."""
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    columns = ["setting", "metric", "value"]
    for setting, metric, value in published.read(TABLE)[columns].itertuples(index=False):
        flags = tuple(part.partition("=")[0] for part in setting.split("; ") if part.endswith("=1"))
        rows.setdefault(flags, {})[metric] = value
    return rows


def repeated(rows: Mapping[tuple[str, ...], Mapping[str, float]]) -> list[tuple[str, str]]:
    """Pairs of published rows with the same numbers to the last digit, in words."""
    named = [(in_words(flags), dict(values)) for flags, values in rows.items()]
    return [(a, b) for i, (a, first) in enumerate(named) for b, second in named[i + 1 :] if first == second]


def in_words(flags: Collection[str]) -> str:
    """What a row of flags is called in a notebook."""
    names = {"gaussian_blur": "blur", "hflip": "flip", "random_crop": "crop"}
    every = {flag for row in published_rows() for flag in row}
    if set(flags) == every:
        return "all eight"
    if set(flags) == every - {"hflip", "random_crop"}:
        return "all six of colour and blur"
    return " and ".join(names.get(flag, flag) for flag in flags) or "none"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`robustness.over_seeds` for people: rows in words; accuracy and mIoU with "± sd", and what is lost with its 95 %
    interval, where there are any, to one decimal; the paper's numbers as printed."""
    flags = [[] if row == "none" else row.split(", ") for row in table["row"]]
    shown = pd.DataFrame({"test images": [in_words(each) for each in flags]})
    for name in ("accuracy", "mIoU"):
        both = zip(table[name], table[f"{name} sd"], strict=True)
        shown[name] = [_tenth(mean) + ("" if np.isnan(sd) else f" ± {_tenth(sd)}") for mean, sd in both]
        shown[f"{name}, paper"] = table[f"{name}, paper"]
    lost = table[["mIoU lost", "low", "high"]].itertuples(index=False)
    shown["mIoU lost"] = [excerpt.with_interval(*span) for span in lost]
    shown["mIoU lost, paper"] = [excerpt.rounded(value, 2) for value in table["mIoU lost, paper"]]
    shown["agreement (%)"] = [excerpt.rounded(value, 1) for value in table["agreement"]]
    return shown.set_index("test images")


def _tenth(value: float) -> str:
    return f"{excerpt.rounded(value, 1):z.1f}"
