"""Show a segmentation: one node, the reference's exact geometry, names, colours and codes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.write import terminology_tag
from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.scene.folders import file_beside
from DeepImagingLib.scene.overlays import Overlay, add_overlays, probability_overlays
from DeepImagingLib.scene.removal import (
    GROUP_TAG,
    PROVENANCE_ATTRIBUTE,
    RUN_ATTRIBUTE,
    empty,
    probability_volumes,
    remove,
    remove_node,
)
from DeepImagingLib.scene.state import check_unmoved
from DeepImagingLib.scene.volumes import as_image_data, as_matrix, local_from_ijk


def show(result: Segmentation, reference: Any, *, node: Any = None, name: str = "", surface: bool = True) -> Any:
    """Show `result` as a segmentation node beside the volume node it was computed from.

    The node takes the reference's local geometry and stands under the same parent transform. A new one is filed next
    to the reference in the subject hierarchy, under a folder named after the model, with a volume node for each
    probability volume of the result; `remove` takes all of it away again. All that can fail is done before the scene
    is touched: nothing is added, or taken from `node`, where this fails.

    Segments that aren't shown by default are there, switched off.

    Args:
        result: What a run on `reference` gave.
        reference: The volume node that was read.
        node: A segmentation node to fill instead of adding one; its segments and the probability volumes of an
            earlier run are replaced, its place in the subject hierarchy and its display node stay.
        name: Of the node; "" names a new one after the reference, and keeps the name of `node`.
        surface: Make the closed surfaces that 3-D views draw.

    Returns:
        The vtkMRMLSegmentationNode.

    Raises:
        InputError: The reference was changed or moved since it was read, or `node` is none to fill.
    """
    check_unmoved(reference, result.layers.shape[1:], result.affine)
    _check_output(node, reference)
    run = (node.GetAttribute(RUN_ATTRIBUTE) if node is not None else None) or uuid4().hex
    segments = _segments(result, local_from_ijk(reference), run)
    overlays = probability_overlays(result)
    provenance = json.dumps(asdict(result.provenance)) if result.provenance is not None else ""
    if node is None:
        node = _add_node(reference, name or f"{reference.GetName()} segmentation", run, result, overlays)
    else:
        earlier = [volume for volume in probability_volumes(node) if volume is not reference]
        add_overlays(overlays, node, reference)
        for volume in earlier:
            remove_node(volume)
        node.SetName(name or node.GetName())
    node.CreateDefaultDisplayNodes()
    _fill(node, segments, reference)
    for segment in result.segments:
        node.GetDisplayNode().SetSegmentVisibility(segment.id, segment.shown)
    if provenance:
        node.SetAttribute(PROVENANCE_ATTRIBUTE, provenance)
    if surface:
        node.CreateClosedSurfaceRepresentation()
    return node


def _check_output(node: Any, reference: Any) -> None:
    if node is None:
        return
    if not (hasattr(node, "IsA") and node.IsA("vtkMRMLSegmentationNode")) or node.GetScene() != reference.GetScene():
        raise InputError("The output is no segmentation of this scene; choose another one, or a new one.")


def _segments(result: Segmentation, local_from_ijk: Any, run: str) -> dict[str, Any]:
    """Return segment id → vtkSegment; those of one layer share one labelmap, as Slicer keeps them."""
    labelmaps = [_labelmap(layer, local_from_ijk) for layer in result.layers]
    made = {s.id: _segment(s, labelmaps[s.layer], run) for s in result.segments}
    for group in result.groups:
        made[group.id].SetTag(GROUP_TAG, "1")
    return made


def _add_node(reference: Any, name: str, run: str, result: Segmentation, overlays: list[Overlay]) -> Any:
    scene = reference.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetAttribute(RUN_ATTRIBUTE, run)
    try:
        file_beside(reference, [node], run, result.provenance.bundle if result.provenance else "Segmentation")
        add_overlays(overlays, node, reference)
    except BaseException:
        remove(node)
        raise
    return node


def _fill(node: Any, segments: dict[str, Any], reference: Any) -> None:
    empty(node)
    # First the transform: the reference geometry is taken relative to it.
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(_binary_labelmap())
    for segment_id, segment in segments.items():
        segmentation.AddSegment(segment, segment_id)


def _binary_labelmap() -> str:
    import slicer

    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())


def _labelmap(layer: Any, local_from_ijk: Any) -> Any:
    import slicer

    labelmap = slicer.vtkOrientedImageData()
    labelmap.ShallowCopy(as_image_data(layer))
    labelmap.SetGeometryFromImageToWorldMatrix(as_matrix(local_from_ijk))
    return labelmap


def _segment(segment: Segment, labelmap: Any, run: str) -> Any:
    import slicer

    made = slicer.vtkSegment()
    made.SetName(segment.name)
    made.SetColor(*segment.color)
    made.SetLabelValue(segment.value)
    made.AddRepresentation(_binary_labelmap(), labelmap)
    made.SetTag(RUN_ATTRIBUTE, run)
    if segment.terminology is not None:
        made.SetTag("TerminologyEntry", terminology_tag(segment.terminology))
    return made
