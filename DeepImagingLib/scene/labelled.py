"""Volumes of a scene with the segmentations somebody made of them: which belong together, and as files to train on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import failed_writing
from DeepImagingLib.scene.removal import RESULT_REFERENCE, RUN_ATTRIBUTE
from DeepImagingLib.scene.saving import export_segmentation
from DeepImagingLib.scene.volumes import read

_FILLING = re.compile(r"segmentation|segments|segment|labels|label|seg|mask|image|volume|scan|[\W_]+", re.IGNORECASE)


LEARN_ATTRIBUTE = "DeepImaging.Learn"
"""Attribute of a segmentation that a model made and somebody mended: it may be learnt from."""


def pairs(scene: Any) -> list[tuple[Any, Any]]:
    """Return each volume node that has a segmentation node to learn from, with it.

    What a model made is not learnt from before somebody has looked at it, see `learn_from`. A segmentation belongs to
    the volume it was drawn on; where that isn't known, to the one whose name is the same but for words such as
    "segmentation" and "label".
    """
    return _paired(scene, lambda segmentation: not _is_draft(segmentation))


def drafts(scene: Any) -> list[tuple[Any, Any]]:
    """Return each volume node without a segmentation to learn from, with what a model made of it, or None."""
    learnt = {volume.GetID() for volume, _segmentation in pairs(scene)}
    made = {volume.GetID(): segmentation for volume, segmentation in _paired(scene, _is_draft)}
    left = [volume for volume in _volumes(scene) if volume.GetID() not in learnt]
    return [(volume, made.get(volume.GetID())) for volume in left]


def learn_from(segmentation: Any) -> None:
    """Have a segmentation that a model made count as one to learn from: somebody has mended it."""
    segmentation.SetAttribute(LEARN_ATTRIBUTE, "1")


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


def _paired(scene: Any, wanted: Callable[[Any], bool]) -> list[tuple[Any, Any]]:
    volumes = _volumes(scene)
    found: dict[str, tuple[Any, Any]] = {}
    for segmentation in filter(wanted, _nodes(scene, "vtkMRMLSegmentationNode")):
        source = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
        named = (one for one in volumes if _stem(one) == _stem(segmentation))
        volume = source if source in volumes else next(named, None)
        if volume is not None:
            found.setdefault(volume.GetID(), (volume, segmentation))
    return list(found.values())


def segment_names(segmentations: Sequence[Any]) -> list[str]:
    """Return the names of their segments, each once, those in most of them first."""
    counts: dict[str, int] = {}
    for node in segmentations:
        segmentation = node.GetSegmentation()
        for index in range(segmentation.GetNumberOfSegments()):
            name = segmentation.GetNthSegment(index).GetName()
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: -counts[name])


def write_labelled(nodes: Sequence[tuple[Any, Any]], folder: Path) -> Path:
    """Write volumes as NIfTI and segmentations as `.seg.nrrd`, as they lie in the world; returns the list of them.

    Args:
        nodes: Volume and segmentation nodes.
        folder: For the files, whose names tell nothing of the nodes'; and for `cases.csv`.

    Raises:
        InputError: There are none, or a node can't be written.
        OutputError: The disk is full, or doesn't let us.
    """
    import nibabel

    if not nodes:
        raise InputError("No volume has a segmentation; pair them, or choose files.")
    lines = ["image,label"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (volume, segmentation) in enumerate(nodes, 1):
            image = read(volume)
            values = np.moveaxis(image.numpy(), 0, -1)
            name = f"case{number:03d}"
            plain = nibabel.Nifti1Image(values[..., 0] if values.shape[-1] == 1 else values, np.asarray(image.affine))
            nibabel.save(plain, folder / f"{name}.nii.gz")
            export_segmentation(segmentation, folder / f"{name}.seg.nrrd")
            lines.append(f"{name}.nii.gz,{name}.seg.nrrd")
        listed = folder / "cases.csv"
        listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise failed_writing(error) from error
    return listed


def _nodes(scene: Any, kind: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]


def _stem(node: Any) -> str:
    return _FILLING.sub("", node.GetName()).lower()
