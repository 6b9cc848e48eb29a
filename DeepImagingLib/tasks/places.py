"""Where a finding is, in words: the structure it lies in, and for a lung the third by height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from DeepImagingLib.results import Terminology
from DeepImagingLib.tasks.terminology import look_up

LUNG = "39607008"  # SNOMED CT
ENCLOSING = ("38266002", "55603005", "127954009", "85756007")  # body, fat, muscle, tissue: they tell no place
AROUND_MM = 6.0  # lung masks often leave out what is dense, a nodule at the chest wall too
STEP_MM = 2.0  # extents and neighbourhoods need no finer grid
THIRDS = ("lower third", "middle third", "upper third")


@dataclass(frozen=True, eq=False)
class Structure:
    """One named structure: the voxels of `labels` (I, J, K) that hold `value`.

    Attributes:
        name: As somebody spelt it.
        labels: May be shared with other structures.
        value: Within `labels`.
        affine: (4, 4) IJK→RAS in mm of the world.
        terminology: What it is; None looks the name up.
    """

    name: str
    labels: npt.NDArray[np.integer]
    value: int
    affine: npt.NDArray[np.float64]
    terminology: Terminology | None = None

    @cached_property
    def code(self) -> str:
        """The SNOMED CT code of what it is, "" where that is unknown."""
        return self._known.type.value if self._known else ""

    @cached_property
    def words(self) -> str:
        """What a report calls it: "right lung"."""
        if self._known is None:
            return self.name
        side = f"{self._known.modifier.meaning} " if self._known.modifier else ""
        return f"{side}{self._known.type.meaning}".lower()

    @cached_property
    def _known(self) -> Terminology | None:
        return self.terminology or look_up(self.name)[0]

    @cached_property
    def voxels(self) -> int:
        """How many it has."""
        return int(np.count_nonzero(self.labels == self.value))

    @cached_property
    def heights(self) -> tuple[float, float]:
        """From where to where it reaches, along superior in mm."""
        steps = [max(1, int(STEP_MM / mm)) for mm in np.linalg.norm(self.affine[:3, :3], axis=0)]
        found = np.argwhere(self.labels[tuple(slice(None, None, step) for step in steps)] == self.value) * steps
        if not len(found):
            return 0.0, 0.0
        superior = found @ self.affine[2, :3] + self.affine[2, 3]
        return float(superior.min()), float(superior.max())

    def share(self, points: npt.NDArray[np.float64]) -> float:
        """Return which part of points (N, 3) RAS mm lies in it."""
        inverse = np.linalg.inv(self.affine)
        ijk = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        inside = np.all((ijk >= 0) & (ijk < self.labels.shape), axis=1)
        return float(np.count_nonzero(self.labels[tuple(ijk[inside].T)] == self.value)) / len(points)


def place(center: Sequence[float], size: Sequence[float], structures: Sequence[Structure]) -> str:
    """Return where a box is, such as "right lung, upper third"; "" where no structure is near.

    That is the smallest structure that the centre lies in, else the one that takes most of the box and of what is
    around it. A lung is divided into thirds by its height, of what is seen of it.

    Args:
        center: RAS in mm.
        size: Lengths of the edges in mm; the longest counts.
        structures: Of a segmentation of the same patient; empty ones, and those that enclose others, don't count.
    """
    telling = [one for one in structures if one.code not in ENCLOSING]
    point = np.asarray(center, float)
    within = [one for one in telling if one.share(point[None])]
    found = min(within, key=lambda one: one.voxels) if within else _nearest(point, max(size), telling)
    return "" if found is None else found.words + _third(found, float(point[2]))


def _nearest(point: npt.NDArray[np.float64], size: float, structures: Sequence[Structure]) -> Structure | None:
    radius = size / 2 + AROUND_MM
    steps = np.arange(-radius, radius + STEP_MM / 2, STEP_MM)
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    points = point + offsets[np.linalg.norm(offsets, axis=1) <= radius]
    shares = [one.share(points) for one in structures]
    return structures[int(np.argmax(shares))] if any(shares) else None


def _third(structure: Structure, superior: float) -> str:
    low, high = structure.heights
    if structure.code != LUNG or high <= low:
        return ""
    return f", {THIRDS[int(np.clip(3 * (superior - low) / (high - low), 0, 2))]}"
