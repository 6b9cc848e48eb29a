"""Whose body a contour torso is, and the slices it is painted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from DeepImagingLib.phantoms.contour_scanner import Tissue
from DeepImagingLib.phantoms.contours import PIXEL_MM, Mask, Shape, Slices, Stack, Tube
from DeepImagingLib.phantoms.torso import Organ


@dataclass(frozen=True)
class Person:
    """One body's traits.

    Attributes:
        shape: Its proportions.
        female, arms_up, phase: Sex, where the arms are, which of `PHASES` of contrast.
        fat: Thickness under the skin of the belly, mm.
        breath: How far the diaphragm is above its usual place, mm.
        age: From 0 (young) to 1: chalk, thin bone.
    """

    shape: Shape
    female: bool
    arms_up: bool
    phase: int
    fat: float
    breath: float
    age: float


class Canvas:
    """What has been painted of a person so far: (K, I, J) tissues and organs."""

    def __init__(self, person: Person, slices: Slices) -> None:
        self.person, self.slices = person, slices
        self.tissues = np.zeros(slices.size, np.uint8)
        self.organs = np.zeros(slices.size, np.uint8)

    def fill(self, *parts: Stack | Tube) -> Mask:
        """Return (K, I, J) where any of these lies."""
        return self.slices.fill(*parts)

    def paint(self, where: Mask, tissue: Tissue, organ: Organ = Organ.OTHER_TISSUE) -> None:
        self.tissues[where] = tissue
        self.organs[where] = organ

    def among(self, *organs: Organ) -> Mask:
        """Return what belongs to one of these organs."""
        return np.asarray(np.isin(self.organs, organs))

    def core(self, where: Mask, mm: float) -> Mask:
        """Return what lies deeper than so many mm, within slices."""
        return _within_slices(binary_erosion, where, mm)

    def around(self, where: Mask, mm: float) -> Mask:
        """Return what lies inside or no farther than so many mm off, within slices."""
        return _within_slices(binary_dilation, where, mm)


def _within_slices(change: Callable[..., Mask], where: Mask, mm: float) -> Mask:
    result = where.copy()
    some = np.flatnonzero(where.any(axis=(1, 2)))
    times = round(mm / PIXEL_MM)
    if len(some) and times:
        part = slice(some[0], some[-1] + 1)
        result[part] = change(where[part], np.ones((1, 3, 3), bool) if times % 2 else None, times)
    return result
