"""ROC and reliability curves as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from DeepImagingLib.evaluation.calibration import Reliability, reliability
from DeepImagingLib.evaluation.judged import Judged
from DeepImagingLib.evaluation.roc import Roc


def draw_roc(path: Path, judged: Judged, told: Mapping[str, Any], title: str) -> None:
    """Draw a curve for each label that some images have and others not."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5.5), layout="constrained")
    axes = figure.add_subplot()
    colors = colormaps["tab10" if len(judged.labels) <= 10 else "tab20"]
    axes.plot((0, 1), (0, 1), color="gray", linewidth=1, linestyle="--", label="chance: 0.500")
    for n, (label, figures) in enumerate(told["labels"].items()):
        if figures["auroc"] is not None:
            curve = Roc(judged.truth[:, n], judged.probabilities[:, n]).points()
            name = f"{label}: {_shown(figures, 'auroc')}"
            axes.plot(*curve, label=name, color=colors(n % colors.N), linewidth=1.5)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.grid(alpha=0.3)
    axes.set_title(title)
    mean = f"mean: {_shown(told, 'macro_auroc')}\n95 % interval in brackets"
    beside = {"loc": "upper left", "bbox_to_anchor": (1.02, 1), "alignment": "left", "frameon": False}
    axes.legend(title=mean, fontsize=8, title_fontsize=8, **beside)
    figure.savefig(path, dpi=110, format="png", bbox_inches="tight")


def _shown(figures: Mapping[str, Any], name: str) -> str:
    if figures[name] is None:
        return "not known"
    low, high = figures[f"{name}_interval"] or (None, None)
    return f"{figures[name]:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def draw_reliability(path: Path, judged: Judged, told: Mapping[str, Any], title: str) -> None:
    """Draw for each label how often it is there, over how likely it was said to be."""
    from matplotlib.figure import Figure

    columns = min(len(judged.labels), 5)
    lines = -(-len(judged.labels) // columns)
    figure = Figure(figsize=(max(2.6 * columns, 4), 2.8 * lines + 0.6), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for n, (axes, label) in enumerate(zip(panels, judged.labels, strict=False)):
        highest = 0.01
        for name, probabilities in {"uncalibrated": judged.uncalibrated, "calibrated": judged.probabilities}.items():
            if probabilities is not None:
                highest = max(highest, _draw_bins(axes, name, reliability(judged.truth[:, n], probabilities[:, n])))
        error = told["labels"][label]["ece"]
        axes.plot((0, 1), (0, 1), color="gray", linewidth=1, linestyle="--", zorder=0)
        axes.set_title(f"{label}\nerror {error:.3f}", fontsize=9)
        axes.set(xlim=(-0.03 * highest, 1.05 * highest), ylim=(-0.03 * highest, 1.05 * highest), aspect="equal")
        axes.grid(alpha=0.3)
    for axes in panels[len(judged.labels) :]:
        axes.remove()
    if judged.uncalibrated is not None:
        panels[0].legend(fontsize=7, loc="upper left")
    figure.suptitle(title)
    figure.supxlabel("probability told", fontsize=10)
    figure.supylabel("share of images with it", fontsize=10)
    figure.savefig(path, dpi=110, format="png")


def _draw_bins(axes: Any, name: str, bins: Reliability) -> float:
    """Draw what was said and what came, with the intervals of what is told; return the highest of both."""
    color = "silver" if name == "uncalibrated" else "tab:blue"
    axes.plot(bins.predicted, bins.observed, "o-", color=color, markersize=3, linewidth=1, label=name)
    if name == "calibrated":
        spread = 1.96 * np.sqrt(bins.observed * (1 - bins.observed) / bins.images)
        axes.errorbar(bins.predicted, bins.observed, spread, fmt="none", color=color, linewidth=1)
    return float(max(bins.predicted.max(), bins.observed.max()))
