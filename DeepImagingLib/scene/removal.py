"""Take back what a run put into the scene: exactly that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

RUN_ATTRIBUTE = "DeepImaging.Run"
"""Attribute of the nodes and folders that a run made, and tag of its segments; the value names the run."""
GROUP_TAG = "DeepImaging.Group"
"""Tag of a segment that is a union of others."""
PROVENANCE_ATTRIBUTE = "DeepImaging.Provenance"
RESULT_REFERENCE = "DeepImaging.Result"
"""Role by which a probability volume names its segmentation, and a finding or a heatmap its table."""
FINDING_REFERENCE = "DeepImaging.Findings"
"""Role by which a table names its findings."""
PART_REFERENCE = "DeepImaging.Parts"
"""Role by which a table names the further nodes that were made with it."""


def remove(node: Any) -> None:
    """Remove what the run made that this segmentation, or this table of findings or probabilities, comes from.

    A segmentation that the run made goes, with its display and storage nodes, the other nodes of that run, and its
    folder in the subject hierarchy where nothing else is in it; copies of the segmentation stay. Of a segmentation
    that was there before, and was filled, the run's segments go; what is drawn into it since stays, and the node too.
    Of a table, its findings go, and its plot, and copies of them stay. The probability volumes and heatmaps go with
    either.
    """
    scene = node.GetScene()
    if scene is None:
        return
    for volume in probability_volumes(node):
        remove_node(volume)
    run = node.GetAttribute(RUN_ATTRIBUTE)
    if run is None:
        _remove_segments(node)
        return
    for made in (node, *(_belonging(node) if node.IsA("vtkMRMLTableNode") else _others(node, run))):
        remove_node(made)
    _remove_folder(scene, run)


def probability_volumes(result_node: Any) -> list[Any]:
    """Return the probability volumes, or heatmaps, that were shown with a segmentation or a table, in their order."""
    scene = result_node.GetScene()
    return [
        node
        for node in (_nodes(scene) if scene is not None else ())
        if node.IsA("vtkMRMLScalarVolumeNode") and node.GetNodeReference(RESULT_REFERENCE) is result_node
    ]


def finding_nodes(table: Any) -> list[Any]:
    """Return the boxes of a table of findings that are still in the scene, in their order."""
    return _referenced(table, FINDING_REFERENCE)


def part_nodes(table: Any) -> list[Any]:
    """Return the further nodes that were made with a table and are still in the scene, in their order."""
    return _referenced(table, PART_REFERENCE)


def _referenced(table: Any, role: str) -> list[Any]:
    count = table.GetNumberOfNodeReferences(role)
    return [node for n in range(count) if (node := table.GetNthNodeReference(role, n)) is not None]


def _belonging(table: Any) -> list[Any]:
    return [*finding_nodes(table), *part_nodes(table)]


def empty(segmentation_node: Any) -> None:
    """Remove all segments, at once.

    Slicer cuts each segment that goes out of the labelmap it shares with others, which takes a pass over all voxels
    a segment. So each first gets a labelmap of its own, with nothing in it.
    """
    import slicer

    labelmap = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segmentation = segmentation_node.GetSegmentation()
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        if segment.GetRepresentation(labelmap) is not None:
            segment.AddRepresentation(labelmap, slicer.vtkOrientedImageData())
    segmentation.RemoveAllSegments()


def _nodes(scene: Any) -> Iterator[Any]:
    return (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))


def _others(segmentation_node: Any, run: str) -> list[Any]:
    """Return the other nodes of a run."""
    found = [node for node in _nodes(segmentation_node.GetScene()) if node.GetAttribute(RUN_ATTRIBUTE) == run]
    return [node for node in found if node is not segmentation_node and _stands_alone(node)]


def _stands_alone(node: Any) -> bool:
    """Tell whether a node is none that goes, or stays, with a segmentation (a copy's have the attribute too)."""
    return not any(node.IsA(f"vtkMRML{kind}Node") for kind in ("Segmentation", "Display", "Storage"))


def _remove_segments(node: Any) -> None:
    segmentation = node.GetSegmentation()
    made = [i for i in segmentation.GetSegmentIDs() if segmentation.GetSegment(i).HasTag(RUN_ATTRIBUTE)]
    if len(made) == segmentation.GetNumberOfSegments():
        empty(node)
    else:
        for segment_id in made:
            segmentation.RemoveSegment(segment_id)
    node.RemoveAttribute(PROVENANCE_ATTRIBUTE)


def remove_node(node: Any) -> None:
    """Remove a node with the display and storage nodes that are its own."""
    scene = node.GetScene()
    displayable = node.IsA("vtkMRMLDisplayableNode")
    attached = [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes() if displayable else 0)]
    storable = node.IsA("vtkMRMLStorableNode")
    attached += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes() if storable else 0)]
    hierarchy = _hierarchy(scene)
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    if item:
        hierarchy.RemoveItem(item, False, False)  # without Qt nobody else does
    scene.RemoveNode(node)
    if node.IsA("vtkMRMLSegmentationNode"):
        empty(node)
    for other in attached:
        if other is not None and other.GetScene() is not None and not _is_referenced(scene, other):
            scene.RemoveNode(other)


def _is_referenced(scene: Any, node: Any) -> bool:
    return any(scene.IsNodeReferencingNodeID(other, node.GetID()) for other in _nodes(scene))


def _remove_folder(scene: Any, run: str) -> None:
    import vtk

    hierarchy = _hierarchy(scene)
    if hierarchy is None:
        return
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    for item in [items.GetId(index) for index in range(items.GetNumberOfIds())]:
        is_ours = hierarchy.GetItemDataNode(item) is None and hierarchy.GetItemAttribute(item, RUN_ATTRIBUTE) == run
        if is_ours and not hierarchy.GetNumberOfItemChildren(item):
            hierarchy.RemoveItem(item, False, False)


def _hierarchy(scene: Any) -> Any:
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
