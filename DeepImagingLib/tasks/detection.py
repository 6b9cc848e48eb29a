"""What a detector's boxes mean: findings in space, with the bundle's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.results import Detection

ONLY = "finding"
"""Name of the one class of a detector whose metadata name none."""
BACKGROUND = "background"


def class_names(labels: Mapping[int, str], count: int) -> tuple[str, ...]:
    """Return the names of a detector's classes, which begin at 0 and hold no background.

    Args:
        labels: Number to name as the metadata have them; where these count a background first, it is left out.
        count: How many classes there are.
    """
    if len(labels) > count and labels.get(0, "").lower() == BACKGROUND:
        labels = {number - 1: name for number, name in labels.items() if number}
    return tuple(labels.get(n) or (ONLY if count == 1 else f"{ONLY} {n}") for n in range(count))


def classes_of(asked: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """Return the classes whose heatmaps are asked for by name, ("all",) standing for each.

    Raises:
        InputError: There is no such class.
    """
    wanted = names if tuple(asked) == ("all",) else asked
    if unknown := [name for name in wanted if name not in names]:
        raise InputError(f"The bundle finds no {unknown[0]!r}; it finds {', '.join(names)}.")
    return tuple(names.index(name) for name in wanted)


def decode(
    corners: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float64],
    classes: npt.NDArray[np.int64],
    names: tuple[str, ...],
    affine: npt.NDArray[np.float64],
    more: Mapping[str, npt.NDArray[np.float64]] | None = None,
) -> tuple[Detection, ...]:
    """Return boxes in space, the highest score first.

    Args:
        corners: (N, 6) in voxels, whole numbers at their centres.
        scores, classes: (N,).
        names: Of the classes.
        affine: (4, 4) IJK→RAS in mm of these voxels.
        more: Name to (N,) further numbers of the boxes, each given to those for which it is finite.
    """
    order = np.argsort(-scores, kind="stable")
    boxes = (detection(names[int(classes[n])], float(scores[n]), corners[n], affine) for n in order)
    return tuple(replace(box, more=_finite(more or {}, n)) for box, n in zip(boxes, order, strict=True))


def _finite(more: Mapping[str, npt.NDArray[np.float64]], n: int) -> dict[str, float]:
    return {name: float(values[n]) for name, values in more.items() if np.isfinite(values[n])}


def detection(label: str, score: float, corners: npt.NDArray[np.float64], affine: npt.NDArray[np.float64]) -> Detection:
    """Return the box between two corners (6,) in voxels of a grid with `affine`, IJK→RAS (4, 4) in mm."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    center = affine[:3, :3] @ (corners[:3] + corners[3:]) / 2 + affine[:3, 3]
    size = (corners[3:] - corners[:3]) * spacing
    return Detection(label, score, _three(center), _three(size), affine[:3, :3] / spacing, _six(corners))


def _three(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    one, two, three = map(float, values)
    return one, two, three


def _six(values: npt.NDArray[np.float64]) -> tuple[float, float, float, float, float, float]:
    return (*_three(values[:3]), *_three(values[3:]))
