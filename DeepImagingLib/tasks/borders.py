"""Borders between labels that follow the image, where a bundle tells by which values.

A network for 4 mm draws the edge of a rib or a lung to the nearest few millimetres; the scan shows it to the voxel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.bundles.borders import Border

Labels = npt.NDArray[np.unsignedinteger[Any]]
Image = npt.NDArray[np.number[Any]]
Mask = npt.NDArray[np.bool_]
Front = tuple[npt.NDArray[np.intp], Labels]
"""Places, as numbers in C order, and the labels that grow there."""
TOLERANCE = 1e-3


def follow_borders(
    labels: Labels, image: Image, borders: Sequence[Border], spacing: Sequence[float], ask: Callable[[], None]
) -> Labels:
    """Return the labels with borders where the image has them; those given stay as they are.

    Distances are those of ways along the axes, through voxels that may be grown into alone.

    Args:
        labels: (I, J, K), or (I, J).
        image: Of the same grid, in the unit of the borders' bounds.
        borders: One after the other.
        spacing: Voxel size in mm along each axis.
        ask: Called before each step; may raise.
    """
    labels = labels.copy(order="C")
    for border in borders:
        _grow(labels, image, border, spacing, ask)
    return labels


def _grow(labels: Labels, image: Image, border: Border, spacing: Sequence[float], ask: Callable[[], None]) -> None:
    """Let labels grow in place, the nearest voxels first."""
    ask()
    waiting: dict[float, list[Front]] = {}
    for axis, front in _first(labels, image, border):
        waiting.setdefault(round(spacing[axis], 3), []).append(front)
    flat = labels.reshape(-1)
    while waiting and (gone := min(waiting)) <= border.within_mm + TOLERANCE:
        ask()
        places, values = _merged(waiting.pop(gone))
        still = np.isin(flat[places], border.into)
        places, values = places[still], values[still]
        flat[places] = values
        for axis, size in enumerate(spacing):
            if gone + size <= border.within_mm + TOLERANCE:
                ahead = waiting.setdefault(round(gone + size, 3), [])
                ahead += [_ahead(labels, image, border, (places, values), axis, by) for by in (-1, 1)]


def _first(labels: Labels, image: Image, border: Border) -> Iterator[tuple[int, Front]]:
    """Yield what lies beside growing labels along each axis, plane by plane: few masks fit beside a large scan."""
    nothing = np.zeros_like(labels[0], bool)
    before, here, behind = nothing, nothing, _is_any(labels[0], border.labels)
    for index, (plane, values) in enumerate(zip(labels, image, strict=True)):
        before, here = here, behind
        behind = _is_any(labels[index + 1], border.labels) if index + 1 < len(labels) else nothing
        may = _is_any(plane, border.into) & _beyond(values, border)
        if not may.any():
            continue
        for axis in range(labels.ndim):
            for by in (-1, 1):
                grows = (before, behind)[by > 0] if axis == 0 else _shifted(here, axis - 1, by)
                places = np.flatnonzero(may & grows) + index * plane.size
                yield axis, (places, labels.reshape(-1)[places + by * _stride(labels, axis)])


def _ahead(labels: Labels, image: Image, border: Border, front: Front, axis: int, by: int) -> Front:
    """Return what lies beside a front on one side, and may be grown into."""
    places, values = front
    at = list(np.unravel_index(places, labels.shape))
    at[axis] = at[axis] + by
    inside = (at[axis] >= 0) & (at[axis] < labels.shape[axis])
    at = [one[inside] for one in at]
    may = np.isin(labels[tuple(at)], border.into) & _beyond(image[tuple(at)], border)
    return (places[inside] + by * _stride(labels, axis))[may], values[inside][may]


def _merged(fronts: Sequence[Front]) -> Front:
    """Return several as one in which no place stands twice."""
    places, values = (np.concatenate(parts) for parts in zip(*fronts, strict=True))
    places, first = np.unique(places, return_index=True)
    return places, values[first]


def _is_any(labels: Labels, numbers: Sequence[int]) -> Mask:
    return np.logical_or.reduce([labels == number for number in numbers])  # faster than to look each up in a table


def _beyond(values: Image, border: Border) -> Mask:
    return np.asarray(values > border.bound if border.above else values < border.bound)


def _shifted(mask: Mask, axis: int, by: int) -> Mask:
    """Return for each voxel what its neighbour has; beyond the edge there is none."""
    moved, size = np.zeros_like(mask), mask.shape[axis]
    ends = slice(0, size - 1), slice(1, size)
    to, of = ends if by > 0 else ends[::-1]
    np.moveaxis(moved, axis, 0)[to] = np.moveaxis(mask, axis, 0)[of]
    return moved


def _stride(labels: Labels, axis: int) -> int:
    return int(np.prod(labels.shape[axis + 1 :]))
