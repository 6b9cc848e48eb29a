"""Show a result's probability volumes: beside its segmentation, in the same geometry, fit to lie over the scan."""

from __future__ import annotations

from typing import Any

from DeepImagingLib.results import Segmentation
from DeepImagingLib.scene.removal import RESULT_REFERENCE, remove_node
from DeepImagingLib.scene.volumes import as_image_data, as_matrix, kji_array, local_from_ijk

COLORS = "vtkMRMLColorTableNodeFileInferno.txt"
WINDOW = (0.0, 1.0)
"""Fixed, so that a colour means the same in every volume."""
SEEN_FROM = 0.05
"""Below it the scan is seen instead."""


def probability_images(result: Segmentation) -> dict[str, Any]:
    """Return the name of a node → its vtkImageData, for each probability volume."""
    return {f"{name} probability": as_image_data(values) for name, values in result.probability.items()}


def add_probabilities(images: dict[str, Any], segmentation_node: Any, reference: Any) -> None:
    """Add a volume node for each image, filed where the segmentation is; none where that fails.

    Args:
        images: As `probability_images` gives them.
        segmentation_node: Whose result they belong to.
        reference: The volume node whose geometry and parent transform they take.
    """
    scene = reference.GetScene()
    made: list[Any] = []
    try:
        for name, image in images.items():
            made.append(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name))
            _set_up(made[-1], image, segmentation_node, reference)
    except BaseException:
        for volume in made:
            remove_node(volume)
        raise


def _set_up(volume: Any, image: Any, segmentation_node: Any, reference: Any) -> None:
    volume.SetNodeReferenceID(RESULT_REFERENCE, segmentation_node.GetID())
    volume.SetIJKToRASMatrix(as_matrix(local_from_ijk(reference)))
    volume.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()  # before there are voxels, which it would look through
    display.SetWindowLevelMinMax(*WINDOW)
    display.SetAndObserveColorNodeID(COLORS)
    display.AutoThresholdOff()
    display.SetThreshold(SEEN_FROM, max(WINDOW[1], float(kji_array(image).max())))  # numpy's way is the faster one
    display.ApplyThresholdOn()
    volume.SetAndObserveImageData(image)
    _file(volume, segmentation_node)


def _file(volume: Any, segmentation_node: Any) -> None:
    """File it beside its segmentation in the subject hierarchy."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    if hierarchy is None:
        return
    beside = hierarchy.GetItemByDataNode(segmentation_node)
    parent = hierarchy.GetItemParent(beside) if beside else hierarchy.GetSceneItemID()
    item = hierarchy.GetItemByDataNode(volume) or hierarchy.CreateItem(parent, volume)
    hierarchy.SetItemParent(item, parent)
