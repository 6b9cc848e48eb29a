"""Where boxes stand: from the world to below the transform of their node, and back."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.results import Detection
from DeepImagingLib.scene.volumes import as_array

Matrix = npt.NDArray[np.float64]
SAME_PLACE_MM, SAME_VOXELS = 0.01, 0.05  # files of scenes round


def placed(box: Detection, local_from_world: Matrix) -> tuple[Matrix, Matrix]:
    """Return the lengths of a box's edges and (4, 4) from the box's own coordinates, both in mm below the transform."""
    edges = local_from_world[:3, :3] @ _edges(box)
    size = np.linalg.norm(edges, axis=0)
    local_from_box = np.eye(4)
    local_from_box[:3, :3] = edges / np.maximum(size, np.finfo(float).tiny)
    if np.linalg.det(local_from_box[:3, :3]) < 0:
        local_from_box[:3, 2] *= -1  # views want right-handed axes; the box is the same
    local_from_box[:3, 3] = (local_from_world @ [*box.center, 1.0])[:3]
    return size, local_from_box


def standing(box: Detection, node: Any) -> Detection:
    """Return a box with centre, size and axes as its vtkMRMLMarkupsROINode has them now, in RAS mm of the world."""
    world_from_box = as_array(node.GetObjectToWorldMatrix())
    center, edges = world_from_box[:3, 3], world_from_box[:3, :3] * node.GetSize()
    if np.linalg.det(edges) * np.linalg.det(box.axes) < 0:
        edges[:, 2] *= -1  # as `placed` turned it
    if np.abs(np.c_[center, edges] - np.c_[box.center, _edges(box)]).max() < SAME_PLACE_MM:
        return box
    size = np.linalg.norm(edges, axis=0)
    axes = edges / np.maximum(size, np.finfo(float).tiny)
    (right, anterior, superior), (i, j, k) = center.tolist(), size.tolist()
    return replace(box, center=(right, anterior, superior), size=(i, j, k), axes=axes)


def index_box(box: Detection, affine: Matrix) -> Detection:
    """Return a box with the corners (voxels of an IJK→RAS affine in mm) of what holds all of it; as told where it does.

    A box that was moved by hand, or along with its scan, has others than the run told.
    """
    ends = _edges(box) @ (np.array(list(product((-0.5, 0.5), repeat=3))).T) + np.reshape(box.center, (3, 1))
    voxels = np.linalg.solve(affine[:3, :3], ends - affine[:3, 3:])
    low, high = voxels.min(axis=1), voxels.max(axis=1)
    now = (*low.tolist(), *high.tolist())
    same = np.allclose(now, box.index_box, rtol=0, atol=SAME_VOXELS)
    return box if same else replace(box, index_box=now)


def _edges(box: Detection) -> Matrix:
    return box.axes * np.asarray(box.size)
