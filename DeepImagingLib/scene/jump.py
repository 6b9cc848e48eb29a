"""Bring slice views to a finding, or to a slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.scene.volumes import voxels

FRAME = 4.0
"""How much wider than the box the narrower side of a view is."""
LEAST_MM = 50.0  # closer than that, nobody knows where in the body it is
ALONG = 0.7
"""Cosine of the angle within which a view looks along an axis."""


def jump(finding_node: Any) -> None:
    """Center all slice views of the scene on a vtkMRMLMarkupsROINode, with the same field of view around it."""
    scene, center, bounds = finding_node.GetScene(), finding_node.GetCenterWorld(), [0.0] * 6
    finding_node.GetRASBounds(bounds)
    reach = max(FRAME * max(high - low for low, high in zip(bounds[::2], bounds[1::2], strict=True)), LEAST_MM)
    for view in _views(scene):
        width, height, depth = view.GetFieldOfView()
        scale = reach / min(width, height)
        view.SetFieldOfView(scale * width, scale * height, depth)
        view.JumpSliceByCentering(*center)


def jump_to_slice(volume_node: Any, number: int) -> None:
    """Show a slice along a volume's third axis in the slice views that look along it."""
    world_from_ijk = voxels(volume_node).affine
    dimensions = volume_node.GetImageData().GetDimensions()
    middle = (world_from_ijk @ [(dimensions[0] - 1) / 2, (dimensions[1] - 1) / 2, number, 1.0])[:3]
    along = world_from_ijk[:3, 2] / np.linalg.norm(world_from_ijk[:3, 2])
    for view in _views(volume_node.GetScene()):
        if abs(_normal(view) @ along) > ALONG:
            view.JumpSliceByOffsetting(*middle)


def _views(scene: Any) -> list[Any]:
    kind = "vtkMRMLSliceNode"
    return [scene.GetNthNodeByClass(number, kind) for number in range(scene.GetNumberOfNodesByClass(kind))]


def _normal(view: Any) -> npt.NDArray[np.float64]:
    return np.array([view.GetSliceToRAS().GetElement(row, 2) for row in range(3)])
