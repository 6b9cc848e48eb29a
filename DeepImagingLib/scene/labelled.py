"""Volumes of a scene with the segmentations somebody made of them: which belong together, and the list to train on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from DeepImagingLib.files import failed_writing
from DeepImagingLib.scene.removal import RESULT_REFERENCE, RUN_ATTRIBUTE
from DeepImagingLib.scene.volumes import local_from_ijk

_FILLING = re.compile(r"segmentation|segments|segment|labels|label|seg|mask|image|volume|scan|[\W_]+", re.IGNORECASE)


LEARN_ATTRIBUTE = "DeepImaging.Learn"
"""Attribute of a segmentation that a model made and somebody mended: it may be learnt from."""


def scans(scene: Any) -> list[tuple[Any, Any]]:
    """Return each volume node that may be learnt from with the segmentation node that fits it, None where none does.

    What a model made is not learnt from before somebody has looked at it, see `learn_from`; a volume that has nothing
    else is not among them. A segmentation belongs to the volume it was drawn on; where that isn't known, to the one
    whose name is the same but for words such as "segmentation" and "label".
    """
    found: dict[str, Any] = {}
    for volume, segmentation in _paired(scene, outlines(scene)):
        found.setdefault(volume.GetID(), segmentation)
    drafted = {volume.GetID() for volume, _draft in _paired(scene, _made(scene))}
    ids = [(volume, volume.GetID()) for volume in _volumes(scene)]
    return [(volume, found.get(id_)) for volume, id_ in ids if id_ in found or id_ not in drafted]


def pairs(scene: Any) -> list[tuple[Any, Any]]:
    """Return those of `scans` that have a segmentation."""
    return [(volume, segmentation) for volume, segmentation in scans(scene) if segmentation is not None]


def outlines(scene: Any) -> list[Any]:
    """Return the segmentation nodes to learn from: all but those that a model made and nobody mended."""
    return [node for node in _nodes(scene, "vtkMRMLSegmentationNode") if not _is_draft(node)]


def drafts(scene: Any) -> list[tuple[Any, Any]]:
    """Return each volume node without a segmentation to learn from, with what a model made of it last, or None."""
    learnt = {volume.GetID() for volume, _segmentation in pairs(scene)}
    made = {volume.GetID(): segmentation for volume, segmentation in _paired(scene, _made(scene))}
    left = [volume for volume in _volumes(scene) if volume.GetID() not in learnt]
    return [(volume, made.get(volume.GetID())) for volume in left]


def segmentations_of(volume: Any) -> list[Any]:
    """Return all segmentation nodes of a volume, also what a model made and nobody has looked at, the newest last."""
    nodes = _nodes(volume.GetScene(), "vtkMRMLSegmentationNode")
    return [segmentation for one, segmentation in _paired(volume.GetScene(), nodes) if one is volume]


def learn_from(segmentation: Any) -> None:
    """Have a segmentation that a model made count as one to learn from: somebody has mended it."""
    segmentation.SetAttribute(LEARN_ATTRIBUTE, "1")


def _made(scene: Any) -> list[Any]:
    return [node for node in _nodes(scene, "vtkMRMLSegmentationNode") if _is_draft(node)]


def _is_draft(segmentation: Any) -> bool:
    return bool(segmentation.GetAttribute(RUN_ATTRIBUTE)) and not segmentation.GetAttribute(LEARN_ATTRIBUTE)


def _volumes(scene: Any) -> list[Any]:
    """Return the scans of a scene: no label maps, and no probabilities that a model gave."""
    nodes = _nodes(scene, "vtkMRMLScalarVolumeNode")
    return [
        node
        for node in nodes
        if not node.IsA("vtkMRMLLabelMapVolumeNode") and node.GetNodeReference(RESULT_REFERENCE) is None
    ]


def _paired(scene: Any, segmentations: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    volumes = _volumes(scene)
    for segmentation in segmentations:
        source = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
        named = (one for one in volumes if _stem(one) == _stem(segmentation))
        volume = source if source in volumes else next(named, None)
        if volume is not None:
            yield volume, segmentation


def segment_names(segmentations: Sequence[Any]) -> list[str]:
    """Return the names of their segments, each once, those in most of them first."""
    counts: dict[str, int] = {}
    for node in segmentations:
        segmentation = node.GetSegmentation()
        for index in range(segmentation.GetNumberOfSegments()):
            name = segmentation.GetNthSegment(index).GetName()
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: -counts[name])


def stamp(volume: Any, segmentation: Any) -> tuple[Any, ...]:
    """Return what is another as soon as voxels, place or segments are: to be compared with what it is later."""
    image, moved = volume.GetImageData(), volume.GetParentTransformNode()
    parts = segmentation.GetSegmentation()
    source = parts.GetSourceRepresentationName()
    segments = [(id_, parts.GetSegment(id_)) for id_ in parts.GetSegmentIDs()]
    drawn = [(id_, one.GetName(), one.GetLabelValue(), _time(one.GetRepresentation(source))) for id_, one in segments]
    return (
        _time(image and image.GetPointData().GetScalars()),
        local_from_ijk(volume).tobytes(),
        moved and (moved.GetID(), moved.GetTransformToWorldMTime()),
        segmentation.GetTransformNodeID(),
        *drawn,
    )


def _time(data: Any) -> int:
    return data.GetMTime() if data is not None else 0


def case_files(folder: Path, number: int) -> tuple[Path, Path]:
    """Return where scan and segmentation of a case go, whose names tell nothing of the nodes'."""
    return folder / f"case{number:03d}.nii", folder / f"case{number:03d}.seg.nrrd"


def list_of(folder: Path) -> Path:
    """Return where `write_list` writes."""
    return folder / "cases.csv"


def write_list(volumes: Sequence[Any], folder: Path) -> None:
    """Write the list of the cases in a folder, those of a patient under the same subject.

    Args:
        volumes: Their nodes, in order.
        folder: With their files.

    Raises:
        OutputError: The disk is full, or doesn't let us.
    """
    lines = ["image,label,subject"]
    for number, volume in enumerate(volumes, 1):
        image, label = case_files(folder, number)
        lines.append(f"{image.name},{label.name},{_subject(volume)}")
    try:
        list_of(folder).write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise failed_writing(error) from error


def _subject(volume: Any) -> str:
    """Return a word for the patient that the subject hierarchy files a volume under; without one, for the volume."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = hierarchy.GetItemByDataNode(volume) if hierarchy is not None else 0
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelPatient()
    patient = hierarchy.GetItemAncestorAtLevel(item, level) if item else 0
    return f"patient{patient}" if patient else volume.GetID()


def _nodes(scene: Any, kind: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]


def _stem(node: Any) -> str:
    return " ".join(_FILLING.sub(" ", node.GetName()).lower().split())
