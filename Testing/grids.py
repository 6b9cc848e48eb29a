"""Voxel grids of every kind, as IJK→RAS matrices in mm."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from scipy.spatial.transform import Rotation

LETTERS = ("LR", "PA", "IS")
AXIS_CODES = [
    "".join(LETTERS[axis][sign] for axis, sign in zip(order, signs, strict=True))
    for order in permutations(range(3))
    for signs in product((0, 1), repeat=3)
]
"""All 48 codes: which way in the patient the first, second and third voxel axis grow."""


def affine(code="RAS", spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), rotation=(0.0, 0.0, 0.0)) -> np.ndarray:
    """Return IJK→RAS (4, 4) for an axis code, spacing and origin in mm, turned by Euler angles in degrees."""
    axes = np.zeros((3, 3))
    for column, letter in enumerate(code):
        row = next(r for r, letters in enumerate(LETTERS) if letter in letters)
        axes[row, column] = 1.0 if letter == LETTERS[row][1] else -1.0
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", rotation, degrees=True).as_matrix() @ axes * np.asarray(spacing)
    matrix[:3, 3] = origin
    return matrix


def positions(mask: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray:
    """Return the RAS mm (N, 3) of a mask's voxels, sorted, so that grids can be compared without their index order."""
    ras = (ijk_to_ras @ np.c_[np.argwhere(mask), np.ones(int(mask.sum()))].T)[:3].T
    rounded = np.round(ras, 2)
    return ras[np.lexsort(rounded.T)]
