"""From a region in the world to ranges of voxels."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.image import LPS_TO_RAS
from DeepImagingLib.files.read import read

if TYPE_CHECKING:
    from monai.data import MetaTensor

ROUNDING = 1e-3  # of a voxel: what affines in float32 may be off without taking one voxel more

Ranges = tuple[tuple[int, int], ...]


def read_roi(path: str | Path, image: MetaTensor) -> Ranges:
    """Return the voxel ranges of `image` that a region file covers.

    Args:
        path: A Slicer markups ROI (`.mrk.json`), or a mask image whose voxels above zero are meant.
        image: The image whose voxels are asked for.

    Raises:
        InputError: The file is neither, or its region lies outside the image.
    """
    path = Path(path)
    corners = _roi_corners(path) if path.name.lower().endswith(".json") else _mask_corners(path)
    shape = (*image.shape[1:], 1)[:3]  # a picture is one voxel deep
    return voxel_ranges(corners, np.asarray(image.affine), shape, repr(path.name))


def voxel_ranges(
    corners: npt.NDArray[np.float64], affine: npt.NDArray[np.float64], shape: tuple[int, ...], name: str
) -> Ranges:
    """Return the half-open voxel ranges that a region covers, cut to the image.

    Args:
        corners: (4, N) of the region, in homogeneous RAS mm.
        affine: (4, 4) IJK→RAS in mm of the image.
        shape: (I, J, K) of the image.
        name: What the region is called in a message.

    Raises:
        InputError: The region lies outside the image.
    """
    try:
        ijk = (np.linalg.inv(affine) @ corners)[:3]
    except np.linalg.LinAlgError as error:
        raise InputError("The image's voxels have no size, so it has no regions; mend its spacing.") from error
    start = np.clip(np.floor(ijk.min(axis=1) + 0.5 + ROUNDING), 0, shape).astype(int)
    stop = np.clip(np.ceil(ijk.max(axis=1) + 0.5 - ROUNDING), 0, shape).astype(int)
    if np.any(start >= stop):
        raise InputError(f"The region {name} lies outside the image; check that both show the same study.")
    return tuple(zip(start.tolist(), stop.tolist(), strict=True))


def box_corners(center: npt.ArrayLike, size: npt.ArrayLike, axes: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the corners (4, 8), homogeneous, of a box whose axes are the columns of `axes` (3, 3); all in mm."""
    signs = np.array(list(product((-0.5, 0.5), repeat=3))).T
    corners = np.asarray(center, float)[:, None] + np.asarray(axes, float) @ (np.asarray(size, float)[:, None] * signs)
    return np.vstack([corners, np.ones(8)])


def _roi_corners(path: Path) -> npt.NDArray[np.float64]:
    """Return the eight corners (4, 8) of a markups ROI in homogeneous RAS mm.

    Format: Slicer's markups JSON schema 1.0.3 (`center`, `size`, `orientation` row-major, `coordinateSystem`).
    """
    try:
        roi = json.loads(path.read_text(encoding="utf-8"))["markups"][0]
        if roi["type"] != "ROI":
            raise ValueError(roi["type"])
        center, size = np.asarray(roi["center"], dtype=float), np.asarray(roi["size"], dtype=float)
        axes = np.reshape(roi.get("orientation", np.eye(3)), (3, 3))
        flip = LPS_TO_RAS if roi.get("coordinateSystem", "LPS") in ("LPS", "0") else np.eye(4)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"{path.name!r} is not a Slicer markups ROI; give a .mrk.json ROI or a mask image.") from error
    return np.asarray(flip @ box_corners(center, size, axes))


def _mask_corners(path: Path) -> npt.NDArray[np.float64]:
    """Return the eight outer corners (4, 8) of the box around a mask's voxels above zero, in homogeneous RAS mm."""
    mask = read(path)
    voxels = np.asarray(mask)[0]
    inside = np.argwhere(np.atleast_3d(voxels) > 0)
    if not len(inside):
        raise InputError(f"The mask {path.name!r} is empty; draw the region first.")
    bounds = np.stack([inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5])
    corners = np.array(list(product(*bounds.T))).T
    return np.asarray(np.asarray(mask.affine) @ np.vstack([corners, np.ones(corners.shape[1])]))
