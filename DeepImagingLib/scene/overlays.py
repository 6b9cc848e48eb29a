"""Volumes that lie over the scan in colours: probabilities, scores, heatmaps; in the geometry of the scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from DeepImagingLib.results import Segmentation
from DeepImagingLib.scene.removal import RESULT_REFERENCE, remove_node
from DeepImagingLib.scene.volumes import as_image_data, as_matrix, kji_array, local_from_ijk

COLORS = "vtkMRMLColorTableNodeFileInferno.txt"
PROBABLE = 0.05
"""The probability below which the scan is seen instead."""
OPACITY = 0.5


@dataclass(frozen=True)
class Overlay:
    """A volume to be made.

    Attributes:
        name: Of the node.
        image: Its vtkImageData.
        scale: The value that the brightest colour stands for; the darkest stands for 0.
        seen_from: The share of the scale below which the scan is seen instead.
        attributes: Of the node.
    """

    name: str
    image: Any
    scale: float = 1.0
    seen_from: float = PROBABLE
    attributes: Mapping[str, str] = field(default_factory=dict)


def probability_overlays(result: Segmentation) -> list[Overlay]:
    """Return what to make of the probability volumes: of one scale, so that a colour means the same in each."""
    return [Overlay(f"{name} probability", as_image_data(values)) for name, values in result.probability.items()]


def add_overlays(overlays: Sequence[Overlay], result_node: Any, reference: Any) -> list[Any]:
    """Add a volume node for each, filed where the result's node is; none where that fails.

    Args:
        overlays: What to make.
        result_node: To whom they belong.
        reference: The volume node whose geometry and parent transform they take.

    Returns:
        The nodes.
    """
    scene = reference.GetScene()
    made: list[Any] = []
    try:
        for overlay in overlays:
            made.append(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", overlay.name))
            _set_up(made[-1], overlay, result_node, reference)
    except BaseException:
        for volume in made:
            remove_node(volume)
        raise
    return made


def lay_over(scene: Any, volume: Any, opacity: float | None = None) -> None:
    """Lay an overlay over its scan in the slice views that show it, or None to take away overlays.

    Without an opacity, one that takes another's place gets that of the other. Views of other scans, and what a user
    laid over a scan, stay as they are where no overlay comes.
    """
    for view in slice_composites(scene):
        replaces = _is_overlay(scene.GetNodeByID(view.GetForegroundVolumeID() or ""))
        if volume is None:
            if replaces:
                view.SetForegroundVolumeID(None)
        elif _lies_over(volume, scene.GetNodeByID(view.GetBackgroundVolumeID() or "")):
            view.SetForegroundVolumeID(volume.GetID())
            if opacity is not None or not replaces:
                view.SetForegroundOpacity(OPACITY if opacity is None else opacity)


def _is_overlay(volume: Any) -> bool:
    return volume is not None and bool(volume.GetNodeReferenceID(RESULT_REFERENCE))


def _lies_over(overlay: Any, scan: Any) -> bool:
    """Tell whether an overlay has the grid of what a view shows; a view that shows nothing takes any."""
    if scan is None:
        return True
    same = overlay.GetParentTransformNode() is scan.GetParentTransformNode()
    return same and np.allclose(local_from_ijk(overlay), local_from_ijk(scan))


def slice_composites(scene: Any) -> list[Any]:
    """Return the nodes that say what is seen in the slice views."""
    kind = "vtkMRMLSliceCompositeNode"
    return [scene.GetNthNodeByClass(number, kind) for number in range(scene.GetNumberOfNodesByClass(kind))]


def scale_of(volume: Any) -> float:
    """Return the value that the brightest colour stands for."""
    return float(volume.GetDisplayNode().GetWindowLevelMax())


def set_scale(volume: Any, scale: float) -> None:
    """Have the brightest colour stand for another value; what was hidden as too low a share of it stays the same."""
    share = seen_from(volume)
    volume.GetDisplayNode().SetWindowLevelMinMax(0.0, scale)
    see_from(volume, share)


def seen_from(volume: Any) -> float:
    """Return the share of the scale below which the scan is seen instead."""
    return float(volume.GetDisplayNode().GetLowerThreshold()) / scale_of(volume)


def see_from(volume: Any, share: float) -> None:
    """Hide what is below a share of the scale."""
    display = volume.GetDisplayNode()
    display.SetThreshold(share * scale_of(volume), display.GetUpperThreshold())


def _set_up(volume: Any, overlay: Overlay, result_node: Any, reference: Any) -> None:
    volume.SetNodeReferenceID(RESULT_REFERENCE, result_node.GetID())
    for name, value in overlay.attributes.items():
        volume.SetAttribute(name, value)
    volume.SetIJKToRASMatrix(as_matrix(local_from_ijk(reference)))
    volume.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()  # before there are voxels, which it would look through
    display.SetWindowLevelMinMax(0.0, overlay.scale)
    display.SetAndObserveColorNodeID(COLORS)
    display.AutoThresholdOff()
    highest = float(kji_array(overlay.image).max())  # numpy's way is the faster one
    display.SetThreshold(overlay.seen_from * overlay.scale, max(overlay.scale, highest))
    display.ApplyThresholdOn()
    volume.SetAndObserveImageData(overlay.image)
    _file(volume, result_node)


def _file(volume: Any, result_node: Any) -> None:
    """File it beside its result in the subject hierarchy."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    if hierarchy is None:
        return
    beside = hierarchy.GetItemByDataNode(result_node)
    parent = hierarchy.GetItemParent(beside) if beside else hierarchy.GetSceneItemID()
    item = hierarchy.GetItemByDataNode(volume) or hierarchy.CreateItem(parent, volume)
    hierarchy.SetItemParent(item, parent)
