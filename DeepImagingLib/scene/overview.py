"""Lay out the overview picture: three slices, a 3-D view, the sides, a legend with volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.results import Provenance, Segmentation
from DeepImagingLib.scene.views import Pixels

if TYPE_CHECKING:
    from monai.data import MetaTensor

# View name → title, letters at its left, right, top and bottom edge: as radiologists look at patients, from the
# feet and from the front, so that the patient's right is on the left of the picture.
PANELS = {
    "Red": ("Axial", "RLAP"),
    "3D": ("3-D, from the front", "RLSI"),
    "Green": ("Coronal", "RLSI"),
    "Yellow": ("Sagittal", "APSI"),
}
# RAS axis that grows to the right and upward in each view, with its sign.
SLICE_AXES = {"Red": ((0, -1), (1, 1)), "Green": ((0, -1), (2, 1)), "Yellow": ((1, -1), (2, 1))}
THROUGH = {"Red": 2, "Green": 1, "Yellow": 0}
LEAST_ML = 0.1  # less is a speck, not a finding
MOST_LEGEND_ROWS = 26
PLAIN_NOTE = "drawn by matplotlib: no OpenGL library was found"


def compose(pictures: dict[str, Pixels], result: Segmentation, path: Path, plain: bool = False) -> None:
    """Write the overview.

    Args:
        pictures: View name to pixels (rows, columns, 3).
        result: For the legend.
        path: The `.png`.
        plain: Say that matplotlib drew the views.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.6, 9.6), dpi=100, facecolor="black")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 3, width_ratios=(1, 1, 0.6), left=0.01, right=0.99, top=0.96, bottom=0.02, wspace=0.03, hspace=0.08
    )
    for index, (name, (title, letters)) in enumerate(PANELS.items()):
        axes = figure.add_subplot(grid[divmod(index, 2)])
        _draw_panel(axes, pictures[name], title, letters)
    legend = figure.add_subplot(grid[:, 2])
    _draw_legend(legend, result)
    told = [PLAIN_NOTE] if plain else []
    figure.text(0.01, 0.006, footer(result.provenance, told), color="0.7", fontsize=8)
    figure.savefig(path, facecolor="black")


def footer(provenance: Provenance | None, further: Sequence[str] = (), sides: bool = True) -> str:
    """Say what made the picture, since it will be passed on alone; `sides` where these are known."""
    made_by = f"{provenance.bundle} {provenance.version}" if provenance else "no model"
    right = ["the patient's right is on the left"] if sides else []
    return " · ".join([made_by, *right, "not for clinical use", *further])


def _draw_panel(axes: Any, picture: Pixels, title: str, letters: str) -> None:
    axes.imshow(picture, interpolation="antialiased")
    axes.set_axis_off()
    axes.set_title(title, color="white", fontsize=11, pad=4)
    draw_letters(axes, letters, 12)


def draw_letters(axes: Any, letters: str, size: float) -> None:
    """Write the sides of the patient to the left, right, top and bottom edge of a picture."""
    places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.97), (0.5, 0.03))
    for letter, (x, y) in zip(letters, places, strict=True):
        backing = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 1.5}
        style = {"color": "#ffd24d", "fontsize": size, "ha": "center", "va": "center", "bbox": backing}
        axes.text(x, y, letter, transform=axes.transAxes, **style)


def _draw_legend(axes: Any, result: Segmentation) -> None:
    """List what is shown and was found with its volume, in the bundle's order, as far as there is room."""
    from matplotlib.patches import Rectangle

    volumes = result.millilitres()
    found = [s for s in result.segments if s.shown and volumes[s.id] >= LEAST_ML]
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(MOST_LEGEND_ROWS + 2, 0)
    axes.text(0, 0.6, "Segment", color="white", fontsize=11, weight="bold")
    axes.text(1, 0.6, "mL", color="white", fontsize=11, weight="bold", ha="right")
    for row, segment in enumerate(found[:MOST_LEGEND_ROWS], start=1):
        axes.add_patch(Rectangle((0, row + 0.05), 0.07, 0.6, color=segment.color))
        axes.text(0.1, row + 0.6, segment.name, color="white", fontsize=10)
        axes.text(1, row + 0.6, f"{volumes[segment.id]:,.1f}", color="white", fontsize=10, ha="right")
    if not found:
        axes.text(0, 1.6, "nothing was found", color="white", fontsize=10)
    if len(found) > MOST_LEGEND_ROWS:
        axes.text(0, MOST_LEGEND_ROWS + 1.6, f"and {len(found) - MOST_LEGEND_ROWS} more", color="0.8", fontsize=10)


def draw_by_matplotlib(
    image: MetaTensor, result: Segmentation, center: npt.NDArray[np.float64], window: tuple[float, float] | None
) -> dict[str, Pixels]:
    """Return the four pictures without OpenGL: slices sampled in RAS, and a frontal projection for the 3-D view.

    Args:
        image: (C, I, J, K).
        result: In the geometry of the image.
        center: (3,) RAS mm.
        window: Window and level; None takes the 1st to 99th percentile.
    """
    voxels = np.asarray(image.as_tensor()[0])
    low, high = (
        np.percentile(voxels, (1, 99)) if window is None else (window[1] - window[0] / 2, window[1] + window[0] / 2)
    )
    grey = np.clip((voxels - low) / max(high - low, 1e-6), 0, 1)
    colors = _color_volume(result)
    pictures = {}
    for name in SLICE_AXES:
        ijk, inside = slice_indices(name, result.affine, voxels.shape, center)
        base = np.repeat(np.where(inside, grey[tuple(ijk)], 0)[..., None], 3, axis=-1)
        tint = colors[tuple(ijk)] * inside[..., None]
        marked = tint.any(axis=-1, keepdims=True)
        pictures[name] = (255 * np.where(marked, 0.6 * base + 0.4 * tint, base)).astype(np.uint8)
    pictures["3D"] = _projection(result.affine, colors, center)
    return pictures


def _color_volume(result: Segmentation) -> npt.NDArray[np.float32]:
    """Return (I, J, K, 3), the colour of each voxel's smallest shown segment, black where there is none."""
    colors = np.zeros((*result.layers.shape[1:], 3), np.float32)
    volumes = result.millilitres()
    for segment in sorted((s for s in result.segments if s.shown), key=lambda s: -volumes[s.id]):
        colors[result.layers[segment.layer] == segment.value] = segment.color
    return colors


def slice_indices(
    name: str,
    affine: npt.NDArray[np.float64],
    shape: tuple[int, ...],
    center: npt.NDArray[np.float64],
    pixels: int = 480,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return voxel indices (3, rows, columns) of an upright square slice through `center`, and which are inside."""
    corners = affine @ np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij")).reshape(4, -1)
    low, high = corners[:3].min(axis=1), corners[:3].max(axis=1)
    (across, sign_across), (up, sign_up) = SLICE_AXES[name]
    half = max(high[across] - low[across], high[up] - low[up]) / 2
    steps = np.linspace(-half, half, pixels)
    ras = np.empty((4, pixels, pixels))
    ras[THROUGH[name]] = center[THROUGH[name]]
    ras[across] = (low[across] + high[across]) / 2 + sign_across * steps[None, :]
    ras[up] = (low[up] + high[up]) / 2 - sign_up * steps[:, None]
    ras[3] = 1
    ijk = np.rint(np.einsum("ij,jrc->irc", np.linalg.inv(affine), ras)[:3]).astype(np.int64)
    limits = np.array(shape)[:, None, None]
    inside = np.all((ijk >= 0) & (ijk < limits), axis=0)
    return np.clip(ijk, 0, limits - 1), inside


def _projection(
    affine: npt.NDArray[np.float64], colors: npt.NDArray[np.float32], center: npt.NDArray[np.float64]
) -> Pixels:
    """Return what is seen from the front: of each line of sight the foremost colour, darker with depth."""
    shape = colors.shape[:3]
    reach = np.linalg.norm(affine[:3, :3] @ np.array(shape))
    picture = np.zeros((480, 480, 3), np.float32)
    depths = np.linspace(-reach / 2, reach / 2, 160)
    for index, depth in enumerate(depths):  # from the back to the front, each plane over those behind it
        point = np.array([center[0], center[1] + depth, center[2]])
        ijk, inside = slice_indices("Green", affine, shape, point)
        plane = colors[tuple(ijk)] * inside[..., None] * (0.35 + 0.65 * index / len(depths))
        picture = np.where(plane.any(axis=-1, keepdims=True), plane, picture)
    return np.asarray(255 * picture, dtype=np.uint8)
