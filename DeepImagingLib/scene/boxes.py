"""Where boxes stand: from the world to below the transform of their node, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.results import Detection
from DeepImagingLib.scene.volumes import as_array

Matrix = npt.NDArray[np.float64]
SAME_PLACE_MM = 0.01  # files of scenes round


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


def carried(affine: Matrix, before: Sequence[Detection], now: Sequence[Detection]) -> Matrix:
    """Return (4, 4) IJK→RAS of the boxes' voxels, carried along where all boxes were moved in the same way."""
    if not before or all(one is other for one, other in zip(before, now, strict=True)) or not min(before[0].size):
        return affine
    move = _frame(now[0]) @ np.linalg.inv(_frame(before[0]))
    expected = np.array([move @ [*box.center, 1.0] for box in before])[:, :3]
    together = np.allclose(expected, [box.center for box in now], rtol=0, atol=SAME_PLACE_MM)
    return np.asarray(move @ affine) if together else affine


def _edges(box: Detection) -> Matrix:
    return box.axes * np.asarray(box.size)


def _frame(box: Detection) -> Matrix:
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = _edges(box), box.center
    return frame
