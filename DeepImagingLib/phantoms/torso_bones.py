"""How bone is painted: a compact shell of a thickness in mm around spongy bone or marrow, whatever the grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DeepImagingLib.phantoms.shapes import Field
from DeepImagingLib.phantoms.torso import Material, Organ, Torso


@dataclass(frozen=True)
class Bone:
    """What one bone is made of; half of a real bone is no brighter than organs."""

    organ: Organ
    cortex_mm: float
    shell: Material = Material.CORTEX
    core: Material = Material.MARROW


def paint_bone(torso: Torso, distance: Field, bone: Bone, box: tuple[slice, ...] = ()) -> None:
    """Paint where `distance` (over the whole grid, or over a box of it) is negative, inside the body only.

    A shell of less than half a voxel is painted half a voxel thick: with holes it would look like noise.
    """
    cortex = max(bone.cortex_mm, 0.5 * min(float(axis[1] - axis[0]) for axis in torso.axes))
    inside = (distance < 0) & (np.minimum(torso.body[box], torso.arms[box]) < -1)
    for where, material in ((inside, bone.core), (inside & (distance > -cortex), bone.shell)):
        torso.materials[box][where] = material
        torso.organs[box][where] = bone.organ
