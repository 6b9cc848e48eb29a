"""The picture of a classification: image, probabilities with their thresholds, and each heatmap over the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.inference.checks import SOFTEST_AIR_HU
from DeepImagingLib.results import PATCHES, Classification, Heatmap
from DeepImagingLib.scene.classifications import (
    TELLING,
    classification_of,
    image_of,
    shown_heatmaps,
)
from DeepImagingLib.scene.overlays import OPACITY, scale_of
from DeepImagingLib.scene.overview import PANELS, THROUGH, draw_letters, footer, slice_indices
from DeepImagingLib.scene.scales import natural_scale
from DeepImagingLib.scene.volumes import voxels

INCHES = 4.2
COLUMNS = 3
MOST = 16
"""Labels that are drawn; of more, the most probable ones."""
LINE, NAME = 42, 22
"""Characters of a title's line, and of a label's."""
PIXELS = 1000
PERCENTILES = (0.5, 99.5)
SOFT_TISSUE = (-160.0, 240.0)  # HU, of a CT
FOUND, OTHER, GREY, TICK = "#f2a33a", "#5b87b5", "0.45", "white"
UNLIKE = "This does not look like what the model was trained on; its probabilities mean little."
Cut = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclass(frozen=True)
class _View:
    """A plane through the grid.

    Attributes:
        cut: Takes (I, J, K) to (rows, columns).
        aspect: Height of a pixel over its width.
        letters: Sides of the patient at its left, right, top and bottom edge; "" where they aren't known.
    """

    cut: Cut
    aspect: float
    letters: str = ""


def write_class_picture(table: Any, path: Path) -> list[Path]:
    """Draw the classification of a table node, with its heatmaps in the colours that they have in the scene.

    Returns:
        The file.

    Raises:
        InputError: The volume is no longer in the scene, or has another size.
    """
    result, array = classification_of(table), voxels(image_of(table)).array
    if array.shape[2::-1] != result.shape:
        raise InputError("The image has another size than when the run started, so there is nothing to draw.")
    channels = array[None] if array.ndim == 3 else array.transpose(3, 0, 1, 2)
    scales = [scale_of(shown.node) for shown in shown_heatmaps(table)]
    return write_class_sheet(path, channels.transpose(0, 3, 2, 1), result, scales)


def write_class_sheet(
    path: Path, image: npt.NDArray[Any], result: Classification, scales: Sequence[float] | None = None
) -> list[Path]:
    """Draw a classification.

    A picture stands as it is stored, its first row on top, in its true proportions. Of a volume a slice along the third
    axis is drawn as radiologists look at patients: the one with the highest probability, else that with the highest
    value of the heatmap, else the middle one.

    Args:
        path: The `.png`.
        image: (C, I, J, K) in the grid of the result; three channels are red, green and blue.
        result: What was found.
        scales: What the brightest colour of each heatmap stands for; None takes what shows each method best.

    Returns:
        The file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scales = _own_scales(result.heatmaps) if scales is None else scales
    cells = 2 + len(result.heatmaps)
    columns = min(COLUMNS, cells)
    rows = -(-cells // columns)
    figure = Figure((columns * INCHES, rows * INCHES + 0.3), dpi=110, facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, columns)
    places = [figure.add_subplot(grid[divmod(number, columns)]) for number in range(cells)]
    _draw_image(places[0], image, _view(result, _best_slice(result)))
    _draw_bars(places[1], result)
    for axes, heat, scale in zip(places[2:], result.heatmaps, scales, strict=True):
        view = _view(result, _best_slice(result, heat))
        _draw_image(axes, image, view)
        _draw_heatmap(axes, heat, view, scale)
    sides = bool(_view(result, 0).letters)
    figure.supxlabel(footer(result.provenance, sides=sides), color="0.7", fontsize=8, x=0.01, ha="left")
    figure.savefig(path, facecolor="black")
    return [path]


def _own_scales(heatmaps: Sequence[Heatmap]) -> list[float]:
    kinds = [(heat.method, heat.layer) for heat in heatmaps]
    alike = {
        kind: [heat.values for heat, other in zip(heatmaps, kinds, strict=True) if other == kind] for kind in kinds
    }
    return [1.0 if kind[0] == PATCHES else natural_scale(alike[kind]) or 1.0 for kind in kinds]


def _best_slice(result: Classification, heat: Heatmap | None = None) -> int:
    """Return the slice that tells most of a heatmap's label, or of the most probable one."""
    label = heat.label if heat else result.labels[int(np.argmax(result.probabilities))]
    if result.slices is not None and np.isfinite(result.slices).any():
        return int(np.nanargmax(result.slices[:, result.labels.index(label)]))
    shown = heat or next(iter(result.heatmaps), None)
    if shown is not None and shown.values.max() > 0:
        return int(np.argmax(shown.values.max(axis=(0, 1))))
    return result.shape[2] // 2


def _view(result: Classification, number: int) -> _View:
    i, j, depth = result.shape
    if depth == 1:
        width, height = np.linalg.norm(result.affine[:3, :2], axis=0)
        step = max(1, -(-max(i, j) // PIXELS))
        return _View(lambda values: values[::step, ::step, 0].T, float(height / width))
    normal = int(np.argmax(np.abs(result.affine[:3, 2])))
    name = next(name for name, axis in THROUGH.items() if axis == normal)
    center = (result.affine @ [(i - 1) / 2, (j - 1) / 2, number, 1.0])[:3]
    ijk, inside = slice_indices(name, result.affine, result.shape, center)
    return _View(lambda values: np.where(inside, values[tuple(ijk)], values.min()), 1.0, PANELS[name][1])


def _draw_image(axes: Any, image: npt.NDArray[Any], view: _View) -> None:
    shown = np.stack([view.cut(channel) for channel in image[: 3 if len(image) >= 3 else 1]], axis=-1).astype(
        np.float32
    )
    low, high = _window(image)
    grey = np.clip((np.nan_to_num(shown, nan=low) - low) / max(high - low, 1e-6), 0, 1)
    axes.imshow(grey if grey.shape[2] == 3 else grey[..., 0], cmap="gray", vmin=0, vmax=1, aspect=view.aspect)
    axes.set_axis_off()
    if view.letters:
        draw_letters(axes, view.letters, 9)


def _window(image: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the values that are drawn black and white: in colour those of its type, of a CT soft tissue."""
    if len(image) >= 3:
        high = float(np.nanmax(image))
        return 0.0, next((top for top in (1.0, 255.0) if high <= top), high)
    low, high = np.nanpercentile(image[0, ::2, ::2], PERCENTILES)
    return SOFT_TISSUE if np.nanmin(image) < SOFTEST_AIR_HU else (float(low), float(high))


def _draw_bars(axes: Any, result: Classification) -> None:
    order = np.argsort(-np.array(result.probabilities), kind="stable")[:MOST]
    order = np.sort(order)
    places, values = np.arange(len(order)), np.array(result.probabilities)[order]
    labels = [result.labels[n] for n in order]
    colors = [GREY if result.is_unlike else FOUND if label in result.found else OTHER for label in labels]
    axes.set_facecolor("black")
    axes.barh(places, values, color=colors, height=0.62)
    axes.barh(places, np.ones(len(order)), color="none", edgecolor="0.35", height=0.62, linewidth=0.8)
    for place, number, value in zip(places, order, values, strict=True):
        axes.text(1.02, place, f"{value:.2f}", color=TICK, fontsize=9, va="center")
        if not result.exclusive:
            axes.plot([result.thresholds[number]] * 2, (place - 0.42, place + 0.42), color=TICK, linewidth=1.6)
    axes.set_xlim(0, 1.15)
    axes.set_ylim(max(len(order), 4) - 0.4, -0.6)
    axes.set_yticks(places, [fill(label, NAME) for label in labels], color=TICK, fontsize=9)
    axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"), color="0.7", fontsize=8)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(_bars_title(result), color="#ff8c5a" if result.is_unlike else TICK, fontsize=9.5)


def _bars_title(result: Classification) -> str:
    kind = "Probability, calibrated" if result.uncalibrated else "Probability as the network has it"
    more = len(result.labels) - MOST
    lines = [fill(UNLIKE, LINE)] if result.is_unlike else []
    lines += [kind + ("" if result.exclusive else "; | is the threshold")]
    return "\n".join([*lines, *([f"the {MOST} most probable of {len(result.labels)}"] if more > 0 else [])])


def _draw_heatmap(axes: Any, heat: Heatmap, view: _View, scale: float) -> None:
    shown = np.ma.masked_less(view.cut(heat.values), TELLING * scale)
    over = axes.imshow(shown, cmap="inferno", vmin=0, vmax=scale, alpha=OPACITY, aspect=view.aspect)
    bar = axes.figure.colorbar(over, ax=axes, fraction=0.046, pad=0.02)
    bar.solids.set_alpha(1)
    bar.ax.tick_params(color="0.7", labelcolor="0.7", labelsize=8)
    bar.outline.set_edgecolor("0.35")
    title = f"{heat.label} ({', '.join(filter(None, (heat.method, heat.layer)))})"
    told = filter(None, (title, heat.doubt))
    axes.set_title("\n".join(fill(text, LINE) for text in told), color=TICK, fontsize=9.5)
