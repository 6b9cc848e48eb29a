"""The contact sheet of findings: each in three planes, with its box, its score and a scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.inference.checks import SOFTEST_AIR_HU
from DeepImagingLib.results import Detection, Detections
from DeepImagingLib.scene.detections import (
    IMAGE_REFERENCE,
    REJECTED_COLOR,
    Review,
    detections_of,
    findings,
    found_by_run,
    score_color,
    threshold_of,
)
from DeepImagingLib.scene.findings_table import patient_diameters
from DeepImagingLib.scene.overview import PANELS, SLICE_AXES, THROUGH, draw_letters, footer
from DeepImagingLib.scene.volumes import voxels
from DeepImagingLib.scene.windows import window_of

PIXELS = 220
INCHES = 2.2
FRAME, LEAST_MM = 4.0, 60.0
MOST = 40
ONE_COLUMN = 4
"""Up to so many findings stand in one column; more in two."""
PERCENTILES = (1, 99)
STEP = 4  # voxels; the window needs no more
SCALES_MM = (5, 10, 20, 50, 100, 200)
OUTSIDE = 0.12  # grey of what isn't in the scan


@dataclass(frozen=True)
class Told:
    """A finding and what the sheet tells of it."""

    detection: Detection
    place: str = ""
    review: Review = Review.NONE
    rank: int = 0
    """From 1; 0 takes its place on the sheet."""


def write_sheet(table: Any, path: Path) -> list[Path]:
    """Draw the findings of a table node that are shown, with what was said of them.

    Returns:
        The file.

    Raises:
        InputError: The volume is no longer in the scene, or has another size.
    """
    result, volume = detections_of(table), table.GetNodeReference(IMAGE_REFERENCE)
    if volume is None:
        raise InputError("The volume was removed from the scene, so there is nothing to draw.")
    scan = voxels(volume)
    array = scan.array
    if array.shape[2::-1] != result.shape:
        raise InputError("The volume has another size than when the run started, so there is nothing to draw.")
    now = replace(result, affine=scan.affine, threshold=threshold_of(table))
    told = [Told(one.detection, one.place, one.review, one.rank) for one in findings(table)]
    shown = [one for one in told if one.detection.score >= now.threshold]
    found = found_by_run(table)
    return write_contact_sheet(path, (array if array.ndim == 3 else array[..., 0]).T, now, shown, found)


def write_contact_sheet(
    path: Path, image: npt.NDArray[Any], result: Detections, told: Sequence[Told], found: int | None = None
) -> list[Path]:
    """Draw findings as radiologists look at patients: the patient's right is on the left of the picture.

    A CT, known by its air, is shown in the lung or the soft tissue window by what is around a finding; all else in one
    window that fits the image.

    Args:
        path: The `.png`.
        image: (I, J, K) in the grid of the detections.
        result: What made it, and from which score, is said at the bottom.
        told: What to draw, in this order; of very many the first, and the sheet says so.
        found: How many boxes the run found, where `result` doesn't have them all; the sheet says so.

    Returns:
        The file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = told[:MOST]
    columns = 1 if len(drawn) <= ONE_COLUMN else 2
    rows = max(1, -(-len(drawn) // columns))
    width, height = columns * (3 * INCHES + 0.4), rows * (INCHES + 0.55) + 0.45
    figure = Figure(figsize=(width, height), dpi=100, facecolor="black")
    FigureCanvasAgg(figure)
    scan = _Scan(image, result.affine)
    for number, one in enumerate(drawn):
        row, column = divmod(number, columns)
        left, top = column * (3 * INCHES + 0.4) + 0.2, height - row * (INCHES + 0.55) - 0.25
        _write_caption(figure, (left / width, top / height), one if one.rank else replace(one, rank=number + 1))
        reach = max(FRAME * max(one.detection.size), LEAST_MM)
        for index, (plane, grey) in enumerate(scan.pictures(one.detection, reach).items()):
            place = (left + index * INCHES) / width, (top - 0.15 - INCHES) / height
            axes = figure.add_axes((*place, (INCHES - 0.06) / width, (INCHES - 0.06) / height))
            _draw(axes, plane, grey, one, reach / 2)
    if not drawn:
        nothing = f"Nothing was found with a score of {result.threshold:g} or more."
        figure.text(0.5, 0.55, nothing, color="white", fontsize=11, ha="center")
    more = [f"{len(told) - MOST} more are not drawn"] if len(told) > MOST else []
    if found is not None and found > len(result.boxes):
        more.append(f"{len(result.boxes)} of the run's {found} boxes are kept")
    figure.text(0.2 / width, 0.15 / height, footer(result.provenance, more), color="0.7", fontsize=7)
    figure.savefig(path, facecolor="black")
    return [path]


def _write_caption(figure: Any, place: tuple[float, float], told: Told) -> None:
    """Write the longest caption that fits over its pictures."""
    text = figure.text(*place, "", color="white", fontsize=8, va="center")
    for caption in _captions(told):
        text.set_text(caption)
        if text.get_window_extent().width <= 3 * INCHES * figure.dpi:
            return


def _captions(told: Told) -> Iterator[str]:
    """Yield captions, shorter and shorter: first the place is cut, then the label; the review stays."""
    for words in _cut(told.place):
        yield _caption(replace(told, place=words))
    for words in _cut(told.detection.label):
        yield _caption(replace(told, place="", detection=replace(told.detection, label=words)))


def _cut(words: str) -> Iterator[str]:
    yield words
    for length in range(len(words) - 2, 0, -1):
        yield f"{words[:length].rstrip(' ,')}…"
    yield ""


def _caption(told: Told) -> str:
    box = told.detection
    directions = zip(("RL", "AP", "SI"), box.center, strict=True)
    where = " ".join(f"{letters[coordinate < 0]} {abs(coordinate):.0f}" for letters, coordinate in directions)
    size = " × ".join(f"{length:.0f}" for length in patient_diameters(box))
    words = [f"{told.rank}  {box.label} {box.score:.2f}", f"{size} mm", f"at {where} mm", told.place]
    return "  ·  ".join(word for word in (*words, told.review.value if told.review is not Review.NONE else "") if word)


class _Scan:
    """The image to sample.

    Attributes:
        planes: Names of the views that show anything: of a picture, the one it lies in.
    """

    def __init__(self, image: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> None:
        self._voxels = image
        self._affine = affine
        flat = image.shape[2] == 1
        normal = int(np.argmax(np.abs(affine[:3, 2])))
        self.planes = [name for name in THROUGH if not flat or THROUGH[name] == normal]
        seen = image[::STEP, ::STEP]
        low, high = np.nanpercentile(seen, PERCENTILES)
        self._is_ct = bool(np.nanmin(seen) < SOFTEST_AIR_HU)
        self._window = (float(low), float(max(high, low + 1e-6)))

    def pictures(self, box: Detection, reach: float) -> dict[str, npt.NDArray[np.float64]]:
        """Return the grey values 0..1 (rows, columns) of each plane through a finding, in one window for all."""
        slices = {plane: self.slice(plane, box.center, reach) for plane in self.planes}
        low, high = self._limits(box)
        return {
            plane: np.where(np.isfinite(values), np.clip((values - low) / (high - low), 0, 1), OUTSIDE)
            for plane, values in slices.items()
        }

    def slice(self, plane: str, center: Sequence[float], reach: float) -> npt.NDArray[np.float64]:
        """Return the values (rows, columns) in a square of `reach` mm around a RAS point, NaN outside the image."""
        from scipy.ndimage import map_coordinates

        (across, sign_across), (up, sign_up) = SLICE_AXES[plane]
        steps = (np.arange(PIXELS) + 0.5) * reach / PIXELS - reach / 2
        ras = np.empty((4, PIXELS, PIXELS))
        ras[:3] = np.reshape(center, (3, 1, 1))
        ras[across] += sign_across * steps[None, :]
        ras[up] -= sign_up * steps[:, None]
        ras[3] = 1
        ijk = np.einsum("rc,cij->rij", np.linalg.inv(self._affine), ras)[:3]
        limits = np.reshape(self._voxels.shape, (3, 1, 1))
        inside = np.all((ijk >= -0.5) & (ijk <= limits - 0.5), axis=0)
        first = np.clip(np.floor(ijk.reshape(3, -1).min(axis=1)), 0, limits[:, 0, 0] - 1).astype(int)
        last = np.clip(np.ceil(ijk.reshape(3, -1).max(axis=1)), 0, limits[:, 0, 0] - 1).astype(int)
        part = self._voxels[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))].astype(np.float32)
        values = map_coordinates(part, ijk - first[:, None, None], order=1, mode="nearest")
        return np.where(inside, values, np.nan)

    def _limits(self, box: Detection) -> tuple[float, float]:
        if not self._is_ct:
            return self._window
        window, level = window_of(self._voxels, self._affine, box)
        return level - window / 2, level + window / 2


def _draw(axes: Any, plane: str, grey: npt.NDArray[np.float64], told: Told, half: float) -> None:
    from matplotlib.patches import Polygon

    box = told.detection
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=(-half, half, -half, half), interpolation="antialiased")
    rejected = told.review is Review.REJECTED
    color, line = (REJECTED_COLOR, "--") if rejected else (score_color(box.score), "-")
    axes.add_patch(Polygon(outline(box, plane), fill=False, edgecolor=color, linewidth=1.2, linestyle=line))
    axes.set_xlim(-half, half)
    axes.set_ylim(-half, half)
    axes.set_axis_off()
    draw_letters(axes, PANELS[plane][1], 8)
    _draw_scale(axes, half)


def _draw_scale(axes: Any, half: float) -> None:
    length = max((mm for mm in SCALES_MM if mm <= half), default=SCALES_MM[0])
    left, low = -0.93 * half, -0.88 * half
    axes.plot((left, left + length), (low, low), color="white", linewidth=1.5)
    backing = {"facecolor": "black", "alpha": 0.5, "edgecolor": "none", "pad": 0.8}
    axes.text(left, low + 0.05 * half, f"{length} mm", color="white", fontsize=6, va="bottom", bbox=backing)


def outline(box: Detection, plane: str) -> npt.NDArray[np.float64]:
    """Return where a plane through a box's centre cuts it: (N, 2) mm from the centre, to the right and upward."""
    signs = np.array(list(product((-0.5, 0.5), repeat=3)))
    corners = (signs * box.size) @ box.axes.T
    through = THROUGH[plane]
    cuts = []
    for first, second in combinations(range(8), 2):
        if np.count_nonzero(signs[first] != signs[second]) == 1:  # an edge
            low, high = corners[first, through], corners[second, through]
            if low * high < 0:
                cuts.append(corners[first] + (corners[second] - corners[first]) * low / (low - high))
    (across, sign_across), (up, sign_up) = SLICE_AXES[plane]
    points = np.array(cuts)[:, (across, up)] * (sign_across, sign_up)
    return points[np.argsort(np.arctan2(points[:, 1], points[:, 0]))]
