"""Bring slice views to a finding."""

from __future__ import annotations

from typing import Any

FRAME = 4.0
"""How much wider than the box the narrower side of a view is."""
LEAST_MM = 50.0  # closer than that, nobody knows where in the body it is


def jump(finding_node: Any) -> None:
    """Center all slice views of the scene on a vtkMRMLMarkupsROINode, with the same field of view around it."""
    scene, center, bounds = finding_node.GetScene(), finding_node.GetCenterWorld(), [0.0] * 6
    finding_node.GetRASBounds(bounds)
    reach = max(FRAME * max(high - low for low, high in zip(bounds[::2], bounds[1::2], strict=True)), LEAST_MM)
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        view = scene.GetNthNodeByClass(index, "vtkMRMLSliceNode")
        width, height, depth = view.GetFieldOfView()
        scale = reach / min(width, height)
        view.SetFieldOfView(scale * width, scale * height, depth)
        view.JumpSliceByCentering(*center)
