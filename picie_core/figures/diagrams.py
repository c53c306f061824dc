"""Diagrams of what happens inside the baselines, and of the finding about things and stuff; none shows an image.

Each function returns a figure, to be written by `figures.save`.
"""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

from picie_core.figures import heatmaps
from picie_core.losses import mutual_information
from picie_core.metrics import Scores
from picie_core.training.traces import Trace


def classifiers(traces: Mapping[str, Trace], k: int) -> Figure:
    """Loss by step, fit of the classifier before and after each epoch, and how many pseudo-labels change between them.

    Args:
        traces: of the same data and epochs, by the classifier's name.
        k: clusters; a guess costs log k.
    """
    figure, (loss, fit, changed) = plt.subplots(1, 3, figsize=(11, 3), layout="constrained", width_ratios=[2, 1.4, 1])
    for number, (name, trace) in enumerate(traces.items()):
        color, table = f"C{number}", trace.epochs
        loss.plot(trace.steps["step"] + 1, trace.steps["loss"], color=color, label=name)
        # An epoch takes a classifier from the left end of its stroke to the right one.
        for epoch, *ends in zip(table["epoch"], table["fit before"], table["fit after"], strict=True):
            fit.plot([epoch + 0.7, epoch + 1.3], ends, color=color, marker="o", markersize=4)
        changed.plot(table["epoch"] + 1, table["changed"], color=color, marker="o")
    first = next(iter(traces.values())).steps
    starts = first["step"].to_numpy()[np.diff(first["epoch"], prepend=-1) > 0]
    for start in starts:
        loss.axvline(start + 0.5, color="lightgrey", linewidth=1, zorder=0)
    loss.axhline(math.log(k), color="grey", linestyle="--", linewidth=1, label=f"a guess, log {k}")
    loss.set(xlabel="step (grey: an epoch begins)", ylabel="training loss")
    loss.legend(fontsize=7, frameon=False)
    fit.axhline(100 / k, color="grey", linestyle="--", linewidth=1)
    fit.set(xlabel="epoch, from start to end", ylabel="pixels classified as labelled (%)", ylim=(0, 100))
    changed.set(xlabel="epoch", ylabel="pseudo-labels that changed (%)", ylim=(0, 100))
    for axis in (fit, changed):
        axis.set_xticks(range(1, len(starts) + 1))
    sns.despine(figure)
    return figure


def joint_distributions(joints: Mapping[str, np.ndarray]) -> Figure:
    """Joint distributions P of the clusters of two pictures at no displacement, and the information by displacement.

    Args:
        joints: (2T + 1, 2T + 1, K, K) of `mutual_information.joint`, by when. The clusters stand in all in the order of
            their sizes in the last, whose information at every displacement is drawn at the right: of P, which the loss
            takes and which is made symmetric, and of the pairs as they are.
    """
    named = {name: torch.from_numpy(joint) for name, joint in joints.items()}
    last = list(named.values())[-1]
    t, k = last.shape[0] // 2, last.shape[-1]
    order = mutual_information.distribution(last[t, t]).sum(dim=0).argsort(descending=True)
    figure, axes = plt.subplots(1, len(named) + 2, figsize=(3 * (len(named) + 2), 3), layout="constrained")
    highest = max(float(mutual_information.distribution(joint[t, t]).max()) for joint in named.values())
    for axis, (name, joint) in zip(axes, named.items(), strict=False):
        shown = mutual_information.distribution(joint[t, t])[order][:, order]
        picture = axis.imshow(100 * shown.numpy(), cmap="rocket_r", vmin=0, vmax=100 * highest)
        nats = float(mutual_information.information(mutual_information.distribution(joint[t, t]), 1.0))
        axis.set(title=f"{name}: I = {nats:.2f} of {math.log(k):.2f} nats", xlabel="cluster, second picture")
        axis.title.set_fontsize(9)
    for axis in axes[:-2]:
        axis.set(xticks=range(0, k, max(k // 6, 1)), yticks=range(0, k, max(k // 6, 1)))
    axes[0].set_ylabel("cluster, first picture")
    figure.colorbar(picture, ax=axes[-3], label="% of the pixels", shrink=0.7)
    kinds = {"as the loss has it": mutual_information.distribution, "of the pairs": mutual_information.shares}
    found = {name: mutual_information.information(kind(last), 1.0).numpy() for name, kind in kinds.items()}
    limits = {"vmin": 0, "vmax": max(values.max() for values in found.values())}
    for axis, (name, values) in zip(axes[-2:], found.items(), strict=True):
        picture = axis.imshow(values, cmap="viridis", extent=(-t - 0.5, t + 0.5, t + 0.5, -t - 0.5), **limits)
        axis.set_title(f"I by displacement, {name}", fontsize=9)
        axis.set(xlabel="cells to the right", ylabel="cells down")
    figure.colorbar(picture, ax=axes[-1], label="nats", shrink=0.7)
    return figure


def random_blocks(blocks: np.ndarray, marks: Mapping[str, Scores]) -> Figure:
    """How accuracy and mean IoU of randomly chosen blocks of classes spread, and where some blocks lie among them.

    Args:
        blocks: (n, 2) of `findings.random_blocks`, percent.
        marks: scores of single blocks by name.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
    for axis, name, values in zip(axes, ("accuracy", "mean_iou"), blocks.T, strict=True):
        axis.hist(values[np.isfinite(values)], bins=30, color="lightgrey", label="random blocks")
        for number, (mark, scores) in enumerate(marks.items()):
            axis.axvline(getattr(scores, name), color=f"C{number}", label=mark)
        label = {"accuracy": "accuracy (%)", "mean_iou": "mean IoU (%)"}[name]
        axis.set(xlabel=f"{label} of a block", ylabel="random blocks")
    # Marks may lie anywhere in the axes: the legend is outside of them.
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    sns.despine(figure)
    return figure


def iou_by_class(iou: pd.DataFrame) -> Figure:
    """IoU of every class under every method as a heat map; empty where there is none.

    Args:
        iou: percent, a row for each class and a column for each method. (The figure has them the other way round: the
            names of methods are long.)
    """
    turned = iou.T
    figure, axis = plt.subplots(figsize=(0.75 * len(iou) + 2.6, 0.34 * len(turned) + 0.9), layout="constrained")
    heatmaps.draw(turned, axis, "IoU (%)")
    axis.set(xlabel="", ylabel="")
    axis.tick_params(axis="x", rotation=0 if len(iou) <= 15 else 90)
    return figure
