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
    figure, (loss, fit, changed) = plt.subplots(1, 3, figsize=(11, 3.3), layout="constrained", width_ratios=[2, 1.4, 1])
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
    guess = f"a guess: loss log {k} (left), {100 / k:.0f} % as labelled (middle)"
    loss.axhline(math.log(k), color="grey", linestyle="--", linewidth=1, label=guess)
    loss.set(xlabel="step (grey: an epoch begins)", ylabel="training loss")
    fit.axhline(100 / k, color="grey", linestyle="--", linewidth=1)
    fit.set(xlabel="epoch, from start to end", ylabel="pixels classified as labelled (%)", ylim=(0, 100))
    changed.set(xlabel="epoch", ylabel="pseudo-labels that changed (%)", ylim=(0, 100))
    for axis in (fit, changed):
        axis.set_xticks(range(1, len(starts) + 1))
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    sns.despine(figure)
    return figure


def joint_distributions(joints: Mapping[str, np.ndarray]) -> Figure:
    """Joint distributions P of the clusters of two pictures at no displacement, with their information.

    Args:
        joints: (2T + 1, 2T + 1, K, K) of `mutual_information.joint`, by when. The clusters stand in all in the order of
            their sizes in the last.
    """
    shown = {name: mutual_information.distribution(_center(joint)) for name, joint in joints.items()}
    last = list(shown.values())[-1]
    k, order = len(last), last.sum(dim=0).argsort(descending=True)
    figure, axes = plt.subplots(
        1, len(shown), figsize=(3.1 * len(shown) + 0.8, 3.1), squeeze=False, layout="constrained"
    )
    highest = max(float(joint.max()) for joint in shown.values())
    for axis, (name, joint) in zip(axes[0], shown.items(), strict=True):
        picture = axis.imshow(100 * joint[order][:, order].numpy(), cmap="rocket_r", vmin=0, vmax=100 * highest)
        nats = float(mutual_information.information(joint, 1.0))
        axis.set_title(f"{name}: {nats:.2f} of {math.log(k):.2f} nats", fontsize=10)
        ticks = range(0, k, max(k // 6, 1))
        axis.set(xlabel="cluster, second picture", xticks=ticks, yticks=ticks)
    axes[0, 0].set_ylabel("cluster, first picture")
    figure.colorbar(picture, ax=axes[0, -1], label="% of the pixels", shrink=0.8)
    return figure


def displacements(joint: np.ndarray) -> Figure:
    """How much a pixel's cluster in one picture says of that of a displaced pixel in the other, by displacement.

    Args:
        joint: (2T + 1, 2T + 1, K, K) of `mutual_information.joint`. Its information is drawn of the pairs as they are,
            and made symmetric, as the loss takes them.
    """
    t, pairs = joint.shape[0] // 2, torch.from_numpy(joint)
    kinds = {
        "pairs as they are": mutual_information.shares,
        "made symmetric (the loss)": mutual_information.distribution,
    }
    found = {name: mutual_information.information(kind(pairs), 1.0).numpy() for name, kind in kinds.items()}
    limits = {"vmin": 0, "vmax": max(values.max() for values in found.values())}
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")
    for axis, (name, values) in zip(axes, found.items(), strict=True):
        picture = axis.imshow(values, cmap="viridis", extent=(-t - 0.5, t + 0.5, t + 0.5, -t - 0.5), **limits)
        axis.set_title(name, fontsize=10)
        axis.set(xlabel="cells to the right", ylabel="cells down")
    figure.colorbar(picture, ax=axes, label="mutual information (nats)", shrink=0.8)
    return figure


def _center(joint: np.ndarray) -> torch.Tensor:
    """Of (2T + 1, 2T + 1, K, K) the joint distribution at no displacement, (K, K)."""
    return torch.from_numpy(joint[joint.shape[0] // 2, joint.shape[1] // 2])


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
    figure, axis = plt.subplots(
        figsize=((0.75 if len(iou) <= 15 else 0.36) * len(iou) + 2.6, 0.34 * len(turned) + 0.9), layout="constrained"
    )
    heatmaps.draw(turned, axis, "IoU (%)")
    axis.set(xlabel="", ylabel="")
    axis.tick_params(axis="x", rotation=0 if len(iou) <= 15 else 90)
    return figure
