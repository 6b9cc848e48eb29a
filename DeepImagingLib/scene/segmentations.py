"""Show a segmentation: one node, the reference's exact geometry, names, colours and codes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.write import terminology_tag
from DeepImagingLib.inference.checks import millimetres_apart
from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.scene.volumes import as_image_data, as_matrix, is_volume, local_from_ijk, world_from_local

SAME_PLACE_MM = 0.01
PROVENANCE_ATTRIBUTE = "DeepImaging.Provenance"


def show(result: Segmentation, reference: Any, *, surface: bool = True) -> Any:
    """Add a segmentation node for `result` beside the volume node it was computed from.

    The node takes the reference's local geometry and stands under the same parent transform. It is filed next to the
    reference in the subject hierarchy, under a folder named after the model. Nothing is added where this fails.

    Args:
        result: What a run on `reference` gave.
        reference: The volume node that was read.
        surface: Make the closed surfaces that 3-D views draw.

    Returns:
        The vtkMRMLSegmentationNode.

    Raises:
        InputError: The reference was changed or moved since it was read.
    """
    _check_reference(result, reference)
    scene = reference.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{reference.GetName()} segmentation")
    try:
        node.CreateDefaultDisplayNodes()
        # First the transform: the reference geometry is taken relative to it.
        node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        _add_segments(node, result, local_from_ijk(reference))
        if surface:
            node.CreateClosedSurfaceRepresentation()
        if result.provenance is not None:
            node.SetAttribute(PROVENANCE_ATTRIBUTE, json.dumps(asdict(result.provenance)))
        _file(scene, node, reference, result)
    except BaseException:
        scene.RemoveNode(node)
        raise
    return node


def _check_reference(result: Segmentation, reference: Any) -> None:
    if not is_volume(reference):
        raise InputError("The reference is no volume node; give the one that was read for the run.")
    image_data = reference.GetImageData()
    shape = image_data.GetDimensions() if image_data is not None else ()
    if tuple(shape) != result.layers.shape[1:]:
        raise InputError("The volume has another size than when the run started; run again on the volume as it is now.")
    world = world_from_local(reference) @ local_from_ijk(reference)
    if millimetres_apart(world, result.affine, tuple(shape)) > SAME_PLACE_MM:
        raise InputError("The volume was moved since the run started; run again on the volume where it is now.")


def _add_segments(node: Any, result: Segmentation, local_from_ijk: Any) -> None:
    """Add every segment; those of one layer share one labelmap, as Slicer keeps them."""
    labelmaps = [_labelmap(layer, local_from_ijk) for layer in result.layers]
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(_binary_labelmap())
    for segment in result.segments:
        segmentation.AddSegment(_segment(segment, labelmaps[segment.layer]), segment.id)


def _binary_labelmap() -> str:
    import slicer

    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())


def _labelmap(layer: Any, local_from_ijk: Any) -> Any:
    import slicer

    labelmap = slicer.vtkOrientedImageData()
    labelmap.ShallowCopy(as_image_data(layer))
    labelmap.SetGeometryFromImageToWorldMatrix(as_matrix(local_from_ijk))
    return labelmap


def _segment(segment: Segment, labelmap: Any) -> Any:
    import slicer

    made = slicer.vtkSegment()
    made.SetName(segment.name)
    made.SetColor(*segment.color)
    made.SetLabelValue(segment.value)
    made.AddRepresentation(_binary_labelmap(), labelmap)
    if segment.terminology is not None:
        made.SetTag("TerminologyEntry", terminology_tag(segment.terminology))
    return made


def _file(scene: Any, node: Any, reference: Any, result: Segmentation) -> None:
    """File the node beside its reference in the subject hierarchy; without Qt nobody else does."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is None:
        return
    beside = _item(hierarchy, reference, hierarchy.GetSceneItemID())
    folder = hierarchy.CreateFolderItem(hierarchy.GetItemParent(beside), _folder_name(result))
    hierarchy.SetItemParent(_item(hierarchy, node, folder), folder)


def _item(hierarchy: Any, node: Any, parent: int) -> int:
    """Return the item of a node, made under `parent` where there is none."""
    return int(hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(parent, node))


def _folder_name(result: Segmentation) -> str:
    return result.provenance.bundle if result.provenance is not None else "Segmentation"
