"""Borders between labels that follow the image, where a bundle tells by which values.

A network for 4 mm draws the edge of a rib or a lung to the nearest few millimetres; the scan shows it to the voxel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.bundles.borders import Border

Labels = npt.NDArray[np.unsignedinteger[Any]]
Image = npt.NDArray[np.number[Any]]
Places = npt.NDArray[np.intp]
TOLERANCE = 1e-3


def follow_borders(
    labels: Labels, image: Image, borders: Sequence[Border], spacing: Sequence[float], ask: Callable[[], None]
) -> Labels:
    """Return the labels with borders where the image has them; those given stay as they are.

    Args:
        labels: (I, J, K), or (I, J).
        image: Of the same grid, in the unit of the borders' bounds.
        borders: One after the other.
        spacing: Voxel size in mm along each axis.
        ask: Called before each step; may raise.
    """
    labels = labels.copy()
    for border in borders:
        _grow(labels, image, border, spacing, ask)
    return labels


def _grow(labels: Labels, image: Image, border: Border, spacing: Sequence[float], ask: Callable[[], None]) -> None:
    """Let labels grow, voxel by voxel along the axes, through values of theirs alone, in place."""
    ask()
    grows = _marked(labels, border.labels)
    places = _passable(labels, image, border)
    steps = int(border.within_mm / min(spacing) + TOLERANCE)
    for step in range(1, steps + 1):
        ask()
        axes = [axis for axis, size in enumerate(spacing) if step * size <= border.within_mm * (1 + TOLERANCE)]
        reached, found = _neighbours(labels, grows, places, axes)
        labels[tuple(places[reached].T)] = found[reached]
        places = places[~reached]
        if not reached.any() or not len(places):
            return


def _marked(labels: Labels, numbers: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return a table: whether a label's number is one of these."""
    table = np.zeros(np.iinfo(labels.dtype).max + 1, bool)
    table[[number for number in numbers if number < len(table)]] = True
    return table


def _passable(labels: Labels, image: Image, border: Border) -> Places:
    """Return the places (n, 3) that labels may grow into; plane by plane, as few masks fit beside a large scan."""
    found = []
    for index, (plane, values) in enumerate(zip(labels, image, strict=True)):
        mask = np.logical_or.reduce([plane == number for number in border.into])  # faster than to look each up
        mask &= values > border.bound if border.above else values < border.bound
        within = np.unravel_index(np.flatnonzero(mask), mask.shape)  # several times faster than argwhere
        found.append(np.stack([np.full(len(within[0]), index), *within], axis=1))
    return np.concatenate(found)


def _neighbours(
    labels: Labels, grows: npt.NDArray[np.bool_], places: Places, axes: Sequence[int]
) -> tuple[npt.NDArray[np.bool_], Labels]:
    """Return whether a growing label lies beside each place, (n,), and the first that does."""
    reached = np.zeros(len(places), bool)
    found = np.zeros(len(places), labels.dtype)
    for axis in axes:
        for by in (-1, 1):
            beside = places[:, axis] + by
            left = np.flatnonzero(~reached & (beside >= 0) & (beside < labels.shape[axis]))
            at = places[left]
            at[:, axis] += by
            there = labels[tuple(at.T)]
            taken = grows[there]
            found[left[taken]] = there[taken]
            reached[left[taken]] = True
    return reached, found
