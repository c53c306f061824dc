"""Charts of results over seeds: what each setting changes, and how scores move along one. Each returns a figure."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from picie_core.metrics import seeds

OURS, PAPER = "tab:blue", "tab:orange"

UNITS = {"hue": "hue (turns)", "sigma": "blur, sigma (pixels)", "side": "side of the crop (share)"}
"""What the strength of a transform of `robustness.STRENGTHS` is counted in; the others are factors."""


def effects(table: pd.DataFrame, against: str, score: str = "mIoU") -> Figure:
    """What each row changes, with its 95 % interval over seeds (hollow: of one seed, without), and the paper's change
    where there is one.

    Args:
        table: of `grid.rows.effects`; rows that were not run keep an empty line.
        against: the row that was compared with.
        score: what the differences are of.
    """
    figure, axis = plt.subplots(figsize=(7.2, 0.42 * len(table) + 1.3), layout="constrained")
    places = np.arange(len(table))
    axis.axvline(0, color="0.6", linewidth=1)
    ours, low, paper = (table[name].to_numpy(dtype=float) for name in ("difference", "low", "paper"))
    for kept, fill, label in (
        (np.isfinite(low), OURS, "ours (95 % interval)"),
        (np.isfinite(ours) & np.isnan(low), "white", "ours, one seed"),
    ):
        if kept.any():
            _intervals(axis, table.loc[kept], places[kept], color=OURS, mfc=fill, label=label)
    if np.isfinite(paper).any():
        axis.plot(paper, places, "D", color=PAPER, markersize=6, label="paper (COCO)")
    for place, value, why in zip(places, ours, table["agrees"], strict=True):
        if np.isnan(value):
            axis.annotate(why, (0, place), xytext=(4, 0), textcoords="offset points", va="center", color="0.5")
    axis.set_yticks(places, [textwrap.fill(name, 34) for name in table["row"]], fontsize=9)
    axis.set_ylim(len(table) - 0.4, -0.6)
    axis.set_xlabel(f"{score}, percent points against “{against}” on the same seeds")
    axis.spines[["top", "right"]].set_visible(False)
    if axis.get_legend_handles_labels()[0]:  # nothing was run: nothing to tell apart
        axis.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    return figure


def margins(table: pd.DataFrame, method: str, groups: str) -> Figure:
    """How far one method's scores lie above each other's, with 95 % intervals over seeds: an axis for each metric, a
    row for each other method.

    Args:
        table: of `tables.margins`, and the columns metric, `groups`, and paper (the same difference in the paper; nan
            where it has none). One seed has no interval.
        method: the name of that method.
        groups: the column whose values have a colour each, such as `epochs`.
    """
    names, metrics = list(dict.fromkeys(table["method"])), list(dict.fromkeys(table["metric"]))
    values = sorted(set(table[groups].tolist()))
    size = (4.4 * len(metrics) + 1, 0.46 * len(names) + 1.3)
    figure, axes = plt.subplots(1, len(metrics), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, metric in zip(axes[0], metrics, strict=True):
        of_metric = table.loc[table["metric"] == metric]
        axis.axvline(0, color="0.6", linewidth=1)
        for number, value in enumerate(values):
            mine = of_metric.loc[of_metric[groups] == value]
            places = np.array([names.index(name) for name in mine["method"]])
            shift = (number - (len(values) - 1) / 2) * 0.34
            _intervals(axis, mine, places + shift, color=f"C{number}", markersize=4, label=f"{value} {groups}")
        theirs = of_metric.drop_duplicates("method").dropna(subset="paper")
        where = [names.index(name) for name in theirs["method"]]
        axis.plot(theirs["paper"].to_numpy(), where, "D", color="0.35", mfc="none", markersize=6, label="paper (COCO)")
        axis.set(title=metric, xlabel=f"{method} minus the method, percent points")
        axis.grid(axis="x", color="0.92")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_yticks(range(len(names)), names, fontsize=9)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=8, frameon=False
    )
    return figure


def curve(table: pd.DataFrame, name: str) -> Figure:
    """mIoU along a setting: each seed a dot, the mean a line, the paper's numbers beside.

    Args:
        table: columns `name`, seed, value (percent), and paper (one a value of the setting; nan where there is none).
        name: the setting.
    """
    figure, axis = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
    by_value = {x: table.loc[table[name] == x] for x in sorted(set(table[name].tolist()))}
    x, mean = list(by_value), [rows["value"].mean() for rows in by_value.values()]
    paper = [rows["paper"].iloc[0] for rows in by_value.values()]
    axis.plot(table[name].to_numpy(), table["value"].to_numpy(), ".", color=OURS, alpha=0.6)
    axis.plot(x, mean, "-", color=OURS, label="ours, mean over seeds")
    if np.isfinite(paper).any():
        axis.plot(x, paper, "D--", color=PAPER, markersize=5, label="paper (COCO)")
    axis.set(xlabel=name, ylabel="mIoU in percent", ylim=(0, None))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False)
    return figure


def by_epoch(lines: Mapping[str, pd.DataFrame]) -> Figure:
    """mIoU of the validation split after each epoch, a line for each run.

    Args:
        lines: name -> `progress` of a run (`records.Run`); a name that ends in `, normalised` is dashed, in the colour
            of the one without.
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    known: dict[str, str] = {}
    for name, progress in lines.items():
        color = known.setdefault(name.removesuffix(", normalised"), f"C{len(known)}")
        style = "--" if name.endswith(", normalised") else "-"
        axis.plot(progress["epoch"] + 1, progress["mean_iou_final"], style, marker=".", color=color, label=name)
    axis.set(xlabel="epoch", ylabel="mIoU, validation (%)", ylim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def strengths(table: pd.DataFrame, trained: Mapping[str, tuple[float, float]]) -> Figure:
    """Agreement, accuracy and mIoU against the strength of each transform of the test images, a small axis for each.

    Args:
        table: of `robustness.curves`.
        trained: transform -> the range that training draws from, shaded.
    """
    names = list(dict.fromkeys(table["transform"].tolist()))
    lines = {
        "agreement": {"color": "black", "linewidth": 2.5, "label": "agreement: pixels that keep their cluster"},
        "accuracy": {"color": "tab:green", "label": "accuracy"},
        "mIoU": {"color": OURS, "label": "mIoU"},
    }
    rows = math.ceil(len(names) / 3)
    figure, axes = plt.subplots(
        rows, 3, figsize=(8.4, 2.5 * rows + 0.3), sharey=True, squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(names) :]:
        axis.remove()
    for axis, name in zip(axes.flat, names, strict=False):
        mine = table.loc[table["transform"] == name]
        if name in trained:
            axis.axvspan(*trained[name], facecolor="0.88", edgecolor="none", label="drawn in training")
        for column, style in lines.items():
            axis.plot(mine["strength"].to_numpy(), mine[column].to_numpy(), "o-", markersize=3, **style)
        axis.set(xlabel=UNITS.get(name, name), ylim=(0, 103))
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("percent")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    return figure


def epoch(measured: Mapping[str, Any]) -> Figure:
    """An epoch's phases in a row, and above it the floor: what `benchmark.epoch.measure` returns."""
    figure, axis = plt.subplots(figsize=(7.2, 1.7), layout="constrained")
    spent, between = dict(measured["phases"]), measured["epoch"] - sum(measured["phases"].values())
    if between > measured["epoch"] / 100:  # else there is nothing to see of it
        spent["between"] = between
    names = {"cluster": "cluster both views", "label": "label both", "train": "train"}
    left, blues = 0.0, plt.get_cmap("Blues")
    for number, (name, ms) in enumerate(spent.items()):
        axis.barh(1, ms, left=left, color=blues(0.8 - 0.17 * number), label=names.get(name, name))
        left += ms
    axis.barh(0, measured["floor"], color="0.75")
    axis.set_yticks([0, 1], ["floor: the network alone", "epoch"])
    axis.invert_yaxis()
    axis.set_xlabel("ms an image and epoch")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, ncols=4, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def hours(runs: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Hours of a run by number of devices, both on logarithmic axes.

    Args:
        runs: tables of `benchmark.costs.projected` by what is trained on.
        title: what one device takes, and whether anybody has measured it.
    """
    figure, axis = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
    for number, (name, table) in enumerate(runs.items()):
        axis.plot(table.index, table["hours"], "o-", color=f"C{number}", label=name)
    axis.set(xscale="log", yscale="log", xlabel="devices", ylabel="hours")
    axis.set_title(title, fontsize=9)
    axis.set_xticks(ticks := sorted({int(count) for table in runs.values() for count in table.index}), map(str, ticks))
    axis.minorticks_off()
    for span, said in ((1, "an hour"), (24, "a day"), (24 * 365, "a year")):
        axis.axhline(span, color="0.8", linewidth=1, zorder=0)
        axis.annotate(said, (1, span), xytext=(2, 2), textcoords="offset points", fontsize=8, color="0.5")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False)
    return figure


def scores(runs: pd.DataFrame, order: Sequence[str], groups: str) -> Figure:
    """mIoU of methods: every run a dot, beside it the mean and its 95 % interval over seeds.

    Args:
        runs: columns method, value (percent), and `groups`.
        order: the methods, from top to bottom; those without runs are left out.
        groups: the column whose values have a colour each, such as `epochs`.
    """
    methods = [method for method in order if method in set(runs["method"])]
    values = sorted(set(runs[groups].tolist()))
    figure, axis = plt.subplots(figsize=(7.6, 0.46 * len(methods) + 1.2), layout="constrained")
    for number, value in enumerate(values):
        style: dict[str, Any] = {"color": f"C{number}"}
        axis.plot([], [], "|-", label=f"{value} {groups}", **style)
        of_value = runs.loc[runs[groups] == value]
        for method, found in of_value.loc[of_value["method"].isin(methods)].groupby("method")["value"]:
            place = methods.index(str(method)) + (number - (len(values) - 1) / 2) * 0.34
            axis.plot(found, np.full(len(found), place), ".", alpha=0.45, **style)
            mean = seeds.spread(found.tolist())
            reach = np.nan_to_num([[mean.mean - mean.low], [mean.high - mean.mean]])  # of one run: none
            axis.errorbar(mean.mean, place, xerr=reach, fmt="|", capsize=3, markersize=9, **style)
    axis.set_yticks(range(len(methods)), methods, fontsize=9)
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.set(xlabel="mIoU in percent: runs, their mean and its 95 % interval", xlim=(0, None))
    axis.grid(axis="x", color="0.9")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, loc="lower right", frameon=False)
    return figure


def _intervals(axis: Axes, table: pd.DataFrame, places: np.ndarray, **style: Any) -> None:
    """Differences as points at these places, with their intervals; what has none (nan) is a point alone."""
    at, low, high = (table[name].to_numpy(dtype=float) for name in ("difference", "low", "high"))
    axis.errorbar(at, places, xerr=np.nan_to_num(np.stack([at - low, high - at])), fmt="o", capsize=3, **style)
