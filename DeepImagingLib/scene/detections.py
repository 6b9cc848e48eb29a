"""Show detections: a locked box in the views for each, a table, and what is needed to have them back from the nodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.results import Detection, Detections, Provenance
from DeepImagingLib.scene.anatomy import structures_of
from DeepImagingLib.scene.batch import batch
from DeepImagingLib.scene.boxes import index_box, placed, standing
from DeepImagingLib.scene.findings_table import fill
from DeepImagingLib.scene.folders import file_beside
from DeepImagingLib.scene.overlays import Overlay, add_overlays
from DeepImagingLib.scene.removal import (
    FINDING_REFERENCE,
    PROVENANCE_ATTRIBUTE,
    RESULT_REFERENCE,
    RUN_ATTRIBUTE,
    finding_nodes,
    remove,
)
from DeepImagingLib.scene.state import check_unmoved
from DeepImagingLib.scene.volumes import as_image_data, as_matrix, world_from_ijk, world_from_local
from DeepImagingLib.tasks.places import Structure, place

FINDING_ATTRIBUTE = "DeepImaging.Finding"
"""Of a box: the detection, its rank and its place, as JSON."""
DETECTIONS_ATTRIBUTE = "DeepImaging.Detections"
"""Of the table: labels, threshold, number, shape and affine of what the run found, as JSON."""
REVIEW_ATTRIBUTE = "DeepImaging.Review"
THRESHOLD_ATTRIBUTE = "DeepImaging.Threshold"
"""Of the table: the score from which boxes are seen now."""
IMAGE_REFERENCE = "DeepImaging.Image"
"""Role by which the table names the volume that was looked through."""
MOST_SHOWN = 200
"""Boxes become nodes up to here: with thousands, views stand still."""
LOW_COLOR, HIGH_COLOR, REJECTED_COLOR = (1.0, 0.9, 0.2), (1.0, 0.15, 0.1), (0.6, 0.6, 0.6)
REJECTED_OPACITY = 0.5
NO_GLYPH = 0.01
NO_PLACES = (
    "Places are not told: the segmentation they would be told by stands under a non-linear transform; harden the "
    "transform and run again."
)


class Review(Enum):
    """What somebody said of a finding."""

    NONE = "not reviewed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, eq=False)
class Finding:
    """A finding as the scene has it.

    Attributes:
        node: Its vtkMRMLMarkupsROINode.
        rank: From 1, the highest score first.
        detection: As the run gave it, in RAS mm where its node stands now.
        place: In words, "" where nobody knows.
        review: What was said of it.
    """

    node: Any
    rank: int
    detection: Detection
    place: str
    review: Review


def show_findings(result: Detections, reference: Any, *, name: str = "", anatomy: Any = None) -> Any:
    """Show `result` as boxes and a table beside the volume node it was computed from.

    Each box is a locked vtkMRMLMarkupsROINode with the axes of the volume, under the same parent transform; those below
    the result's threshold are there and can't be seen. All of it, and a volume for each heatmap, is filed next to the
    reference under one folder; `remove` takes it away again. Boxes of earlier results of the same volume are hidden.
    Nothing is added where this fails.

    Args:
        result: What a run on `reference` gave; of very many boxes those with the highest scores are shown, and the
            description of the table says so.
        reference: The volume node that was read.
        name: Of the table; "" names it after the reference.
        anatomy: A segmentation node of the same patient, by which places are told in words; where it stands under a
            non-linear transform they are not, and the description of the table says so.

    Returns:
        The vtkMRMLTableNode, which stands for the result.

    Raises:
        InputError: The reference was changed or moved since it was read, or a transform isn't linear.
    """
    check_unmoved(reference, result.shape, result.affine)
    structures, notes = _told_by(anatomy)
    if len(result.boxes) > MOST_SHOWN:
        notes = [f"Of {len(result.boxes)} boxes the {MOST_SHOWN} with the highest scores are shown.", *notes]
    shown = result.boxes[:MOST_SHOWN]
    places = [place(box.center, box.size, structures) for box in shown]
    local_from_world = np.asarray(np.linalg.inv(world_from_local(reference)), np.float64)
    scores = [Overlay(f"{label} score", as_image_data(values)) for label, values in result.heatmap.items()]
    scene = reference.GetScene()
    with batch(scene):
        table = scene.AddNewNodeByClass("vtkMRMLTableNode", name or f"{reference.GetName()} findings")
        try:
            _describe(table, result, reference)
            boxes = [
                _add_box(table, Finding(None, rank, box, where, Review.NONE), local_from_world, reference)
                for rank, (box, where) in enumerate(zip(shown, places, strict=True), 1)
            ]
            folder = result.provenance.bundle if result.provenance else "Findings"
            file_beside(reference, [table, *boxes], table.GetAttribute(RUN_ATTRIBUTE), folder)
            add_overlays(scores, table, reference)
            table.SetDescription(" ".join(notes))
            set_threshold(table, result.threshold)
        except BaseException:
            remove(table)
            raise
        _hide_earlier(table, reference)
    return table


def findings(table: Any) -> list[Finding]:
    """Return the findings of a table node that are still in the scene, the highest score first; seen or not.

    They are where their nodes are, which may have been moved since the run.
    """
    return [_read(node) for node in finding_nodes(table)]


def detections_of(table: Any) -> Detections:
    """Return the detections that a table node stands for, but for the heatmaps, where their boxes are now.

    The threshold is that of the run, wherever `set_threshold` has set the one for the views.
    """
    told, found = _run_of(table), findings(table)
    affine = _affine(table, np.array(told["affine"]))
    provenance = table.GetAttribute(PROVENANCE_ATTRIBUTE)
    return Detections(
        boxes=tuple(index_box(finding.detection, affine) for finding in found),
        labels=tuple(told["labels"]),
        threshold=told.get("threshold", threshold_of(table)),
        shape=(told["shape"][0], told["shape"][1], told["shape"][2]),
        affine=affine,
        provenance=Provenance(**json.loads(provenance)) if provenance else None,
    )


def found_by_run(table: Any) -> int:
    """Return how many boxes the run found; the scene has those with the highest scores, but what a user deleted."""
    highest = max((finding.rank for finding in findings(table)), default=0)
    return int(_run_of(table).get("found", highest))


def threshold_of(table: Any) -> float:
    """Return the score from which findings are seen."""
    return float(table.GetAttribute(THRESHOLD_ATTRIBUTE))


def set_threshold(table: Any, threshold: float) -> None:
    """Show the findings at or above a score, hide the others, at once; the table lists those that are shown."""
    table.SetAttribute(THRESHOLD_ATTRIBUTE, repr(float(threshold)))
    found = findings(table)
    for finding in found:
        _display(finding).SetVisibility(finding.detection.score >= threshold)
    _list(table, found)


def relist(table: Any) -> list[Finding]:
    """Bring the table in line with its boxes, which a user may have deleted or moved; returns what `findings` does.

    A box that has lost its display node gets a new one.
    """
    found = findings(table)
    for finding in found:
        _display(finding)
    _list(table, found)
    return found


def set_review(table: Any, node: Any, review: Review) -> None:
    """Keep in a finding's node, and in its table, what somebody says of it; what is rejected turns grey."""
    node.SetAttribute(REVIEW_ATTRIBUTE, review.value)
    _dress(_read(node))
    _list(table, findings(table))


def _list(table: Any, found: Sequence[Finding]) -> None:
    threshold = threshold_of(table)
    fill(table, [(f.rank, f.detection, f.place, f.review.value) for f in found if f.detection.score >= threshold])


def _describe(table: Any, result: Detections, reference: Any) -> None:
    table.SetAttribute(RUN_ATTRIBUTE, uuid4().hex)
    table.SetNodeReferenceID(IMAGE_REFERENCE, reference.GetID())
    told = {"labels": result.labels, "threshold": float(result.threshold), "found": len(result.boxes)}
    grid = {"shape": result.shape, "affine": result.affine.tolist()}
    table.SetAttribute(DETECTIONS_ATTRIBUTE, json.dumps({**told, **grid}))
    table.SetAttribute(THRESHOLD_ATTRIBUTE, repr(float(result.threshold)))
    if result.provenance is not None:
        table.SetAttribute(PROVENANCE_ATTRIBUTE, json.dumps(asdict(result.provenance)))


def _run_of(table: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(table.GetAttribute(DETECTIONS_ATTRIBUTE))
    return told


def _affine(table: Any, stored: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return IJK→RAS of the volume as it stands now; as it was in the run where it is gone, or bent since."""
    volume = table.GetNodeReference(IMAGE_REFERENCE)
    try:
        return stored if volume is None else world_from_ijk(volume)
    except InputError:
        return stored


def _told_by(anatomy: Any) -> tuple[list[Structure], list[str]]:
    """Return the structures by which places are told, and why there are none though there is a segmentation."""
    try:
        return (structures_of(anatomy) if anatomy is not None else []), []
    except InputError:  # what was found is worth more than its place
        return [], [NO_PLACES]


def _hide_earlier(table: Any, reference: Any) -> None:
    """Hide the boxes of the same model's other results of a volume: no slider of a panel reaches them any more."""
    scene = table.GetScene()
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLTableNode")):
        other = scene.GetNthNodeByClass(number, "vtkMRMLTableNode")
        is_alike = other.GetNodeReference(IMAGE_REFERENCE) is reference and _model(other) == _model(table)
        if other is not table and is_alike:
            for node in finding_nodes(other):
                node.SetDisplayVisibility(False)


def _model(table: Any) -> str:
    """Return the name of the bundle that a result is of, "" where nobody knows."""
    provenance = table.GetAttribute(PROVENANCE_ATTRIBUTE)
    return str(json.loads(provenance)["bundle"]) if provenance else ""


def _add_box(table: Any, finding: Finding, local_from_world: npt.NDArray[np.float64], reference: Any) -> Any:
    box = finding.detection
    node = table.GetScene().AddNewNodeByClass("vtkMRMLMarkupsROINode", f"{box.label} {finding.rank}")
    table.AddNodeReferenceID(FINDING_REFERENCE, node.GetID())
    node.SetNodeReferenceID(RESULT_REFERENCE, table.GetID())
    node.SetAttribute(RUN_ATTRIBUTE, table.GetAttribute(RUN_ATTRIBUTE))
    node.SetAttribute(FINDING_ATTRIBUTE, _as_json(finding))
    node.SetAttribute(REVIEW_ATTRIBUTE, finding.review.value)
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    size, local_from_box = placed(box, local_from_world)
    node.SetSize(*size)
    node.SetAndObserveObjectToNodeMatrix(as_matrix(local_from_box))
    _dress(replace(finding, node=node))
    node.SetLocked(True)
    return node


def _dress(finding: Finding) -> None:
    """Set what a finding looks like: by its score, and grey where it is rejected."""
    node, score = finding.node, min(max(finding.detection.score, 0.0), 1.0)
    rejected = finding.review is Review.REJECTED
    color = REJECTED_COLOR if rejected else score_color(score)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    for paint in (display.SetColor, display.SetSelectedColor):  # views take the second while a box is selected
        paint(*color)
    display.SetOpacity(REJECTED_OPACITY if rejected else 1.0)
    display.SetFillVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(False)
    display.SetHandlesInteractive(False)
    display.SetGlyphScale(NO_GLYPH)  # the dot in the middle would hide what was found
    node.SetNthControlPointLabel(0, node.GetName())
    node.SetNthControlPointDescription(0, f"score {finding.detection.score:.3f}, {finding.review.value}")


def _display(finding: Finding) -> Any:
    """Return a finding's display node, made anew where somebody has removed it."""
    if finding.node.GetDisplayNode() is None:
        _dress(finding)
        threshold = threshold_of(finding.node.GetNodeReference(RESULT_REFERENCE))
        finding.node.GetDisplayNode().SetVisibility(finding.detection.score >= threshold)
    return finding.node.GetDisplayNode()


def score_color(score: float) -> tuple[float, float, float]:
    """Return red, green, blue in 0..1 of a score from 0 to 1."""
    red, green, blue = ((1 - score) * low + score * high for low, high in zip(LOW_COLOR, HIGH_COLOR, strict=True))
    return red, green, blue


def _as_json(finding: Finding) -> str:
    box = finding.detection
    told = {**vars(box), "axes": box.axes.tolist(), "more": dict(box.more)}
    return json.dumps({"rank": finding.rank, "place": finding.place, "detection": told})


def _read(node: Any) -> Finding:
    told = json.loads(node.GetAttribute(FINDING_ATTRIBUTE))
    review = Review(node.GetAttribute(REVIEW_ATTRIBUTE))
    return Finding(node, told["rank"], standing(_stored(node), node), told["place"], review)


def _stored(node: Any) -> Detection:
    """Return the detection as the run gave it, in the world as it was then."""
    values: dict[str, Any] = json.loads(node.GetAttribute(FINDING_ATTRIBUTE))["detection"]
    tuples = {name: tuple(values[name]) for name in ("center", "size", "index_box")}
    return Detection(**{**values, **tuples, "axes": np.array(values["axes"])})
