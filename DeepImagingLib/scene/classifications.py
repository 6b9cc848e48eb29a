"""Show a classification: tables, a plot, heatmaps over the scan; and what is needed to have it back from the nodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

import numpy as np

from DeepImagingLib.errors import InputError
from DeepImagingLib.results import PATCHES, Classification, Heatmap, Provenance
from DeepImagingLib.scene.batch import batch
from DeepImagingLib.scene.classes_table import add_slices, fill_classes
from DeepImagingLib.scene.folders import file_beside
from DeepImagingLib.scene.overlays import Overlay, add_overlays, lay_over, seen_from, slice_composites
from DeepImagingLib.scene.removal import (
    PROVENANCE_ATTRIBUTE,
    RUN_ATTRIBUTE,
    part_nodes,
    probability_volumes,
    remove,
    remove_node,
)
from DeepImagingLib.scene.scales import SCALE_ATTRIBUTE, keep_scale, kept_scale, natural_scale, scale_name
from DeepImagingLib.scene.state import check_unmoved
from DeepImagingLib.scene.volumes import as_image_data, kji_array

CLASSES_ATTRIBUTE = "DeepImaging.Classes"
"""Of the table: all of a classification but heatmaps and provenance, as JSON."""
HEATMAP_ATTRIBUTE = "DeepImaging.Heatmap"
"""Of a heatmap's volume: all of it but its values, as JSON."""
IMAGE_REFERENCE = "DeepImaging.Image"
"""Role by which the table names the volume that was looked at."""
TELLING = 0.25
"""The share of the scale below which the scan is seen instead of a heatmap."""


@dataclass(frozen=True, eq=False)
class ShownHeatmap:
    """A heatmap as the scene has it.

    Attributes:
        node: Its vtkMRMLScalarVolumeNode, with the raw values.
        label, method, layer, sameness: As of `Heatmap`.
    """

    node: Any
    label: str
    method: str
    layer: str
    sameness: float | None

    @property
    def heatmap(self) -> Heatmap:
        """All of it, as the run gave it; its values, (I, J, K), show the memory of the node."""
        values = kji_array(self.node.GetImageData()).T
        return Heatmap(self.label, self.method, values, self.layer, self.sameness)


def show_classes(result: Classification, reference: Any, *, name: str = "") -> Any:
    """Show `result` as a table, and its heatmaps as volumes over the volume node it was computed from.

    Of a volume that was seen slice by slice there are a table and a plot of the slices as well. All of it is filed
    next to the reference under one folder; `remove` takes it away again. Heatmaps stand in the local geometry of the
    reference under the same parent transform, with raw values; the one of the most probable label is laid over the
    scan. Maps of the same model, method and layer have the same scale, see `scales`. Nothing is added where this fails.

    Args:
        result: What a run on `reference` gave.
        reference: The volume node that was read.
        name: Of the table; "" names it after the reference.

    Returns:
        The vtkMRMLTableNode, which stands for the result.

    Raises:
        InputError: The reference was changed or moved since it was read, or a transform isn't linear.
    """
    check_unmoved(reference, result.shape, result.affine)
    scene = reference.GetScene()
    with batch(scene):
        table = scene.AddNewNodeByClass("vtkMRMLTableNode", name or f"{reference.GetName()} classes")
        try:
            _describe(table, result, reference)
            fill_classes(table, result)
            add_slices(table, result)
            folder = result.provenance.bundle if result.provenance else "Classification"
            file_beside(reference, [table, *part_nodes(table)], table.GetAttribute(RUN_ATTRIBUTE), folder)
            made = _add(result, table, reference)
        except BaseException:
            remove(table)
            raise
    _lay_most_probable(made, result)
    return table


def add_heatmaps(table: Any, result: Classification) -> list[Any]:
    """Add the heatmaps of another run of the same model on the same image to a table's, and lay one over the scan.

    A map of the same label, method and layer is replaced. They are seen as the one that lies there: as opaque, and from
    the same share of their scale on. Nothing is changed where this fails.

    Returns:
        The new volume nodes.

    Raises:
        InputError: Model or image are others by now, or the image was moved or removed.
    """
    reference = image_of(table)
    check_unmoved(reference, result.shape, result.affine)
    _check_same(_provenance(table), result.provenance)
    keys = {(heat.label, heat.method, heat.layer) for heat in result.heatmaps}
    there = shown_heatmaps(table)
    earlier = [shown.node for shown in there if (shown.label, shown.method, shown.layer) in keys]
    with batch(reference.GetScene()):
        made = _add(result, table, reference, _share_seen([shown.node for shown in there]))
        for node in earlier:
            remove_node(node)
    _lay_most_probable(made, result)
    return made


def image_of(table: Any) -> Any:
    """Return the volume node that was looked at; raises InputError where it is no longer in the scene."""
    volume = table.GetNodeReference(IMAGE_REFERENCE)
    if volume is None:
        raise InputError("The image was removed from the scene; load it again and start once more.")
    return volume


def shown_heatmaps(table: Any) -> list[ShownHeatmap]:
    """Return the heatmaps of a table that are still in the scene."""
    told = [(node, node.GetAttribute(HEATMAP_ATTRIBUTE)) for node in probability_volumes(table)]
    return [ShownHeatmap(node, **json.loads(text)) for node, text in told if text]


def classification_of(table: Any) -> Classification:
    """Return the classification that a table node stands for, as the run gave it, with the heatmaps of now.

    Their values, (I, J, K), show the memory of the nodes.
    """
    told = json.loads(table.GetAttribute(CLASSES_ATTRIBUTE))
    slices = told.pop("slices")
    tuples = {key: tuple(value) for key, value in told.items() if isinstance(value, list)}
    return Classification(
        **{**told, **tuples, "affine": np.array(told["affine"])},
        slices=None if slices is None else np.array(slices, np.float64),
        heatmaps=tuple(shown.heatmap for shown in shown_heatmaps(table)),
        provenance=_provenance(table),
    )


def _describe(table: Any, result: Classification, reference: Any) -> None:
    table.SetAttribute(RUN_ATTRIBUTE, uuid4().hex)
    table.SetNodeReferenceID(IMAGE_REFERENCE, reference.GetID())
    told = {key: value for key, value in vars(result).items() if key not in ("heatmaps", "provenance")}
    told["affine"] = result.affine.tolist()
    told["slices"] = None if result.slices is None else [_nullable(row) for row in result.slices.tolist()]
    table.SetAttribute(CLASSES_ATTRIBUTE, json.dumps(told))
    if result.provenance is not None:
        table.SetAttribute(PROVENANCE_ATTRIBUTE, json.dumps(asdict(result.provenance)))


def _nullable(row: Sequence[float]) -> list[float | None]:
    """Return numbers as JSON has them, which knows no NaN."""
    return [None if np.isnan(value) else value for value in row]


def _provenance(table: Any) -> Provenance | None:
    text = table.GetAttribute(PROVENANCE_ATTRIBUTE)
    told = json.loads(text) if text else {}
    return Provenance(**{**told, "notes": tuple(told["notes"])}) if told else None


def _check_same(first: Provenance | None, now: Provenance | None) -> None:
    if first is None or now is None:
        return
    if (first.bundle, first.sha256) != (now.bundle, now.sha256):
        raise InputError(f"The model {first.bundle!r} was changed since this result; run it again on the image.")
    if dict(first.input_sha256) != dict(now.input_sha256):
        raise InputError("The image was changed since this result; run the model again on it.")


def _share_seen(maps: Sequence[Any]) -> float:
    """Return from which share of its scale on the map is seen that lies over a scan, or the usual one."""
    views = slice_composites(maps[0].GetScene()) if maps else []
    front = {view.GetForegroundVolumeID() for view in views}
    return next((seen_from(node) for node in maps if node.GetID() in front), TELLING)


def _add(result: Classification, table: Any, reference: Any, share: float = TELLING) -> list[Any]:
    """Add the heatmaps of a result; the scene keeps the scale of those that are the first of their kind."""
    scene, scales = reference.GetScene(), _scales(result, reference.GetScene())
    overlays = [_overlay(heat, result.provenance, scales, share) for heat in result.heatmaps]
    made = add_overlays(overlays, table, reference)
    for name, scale in scales.items():
        keep_scale(scene, name, scale)
    return made


def _scales(result: Classification, scene: Any) -> dict[str, float]:
    """Return name → scale of the result's maps, of those that have one."""
    by_name: dict[str, list[Heatmap]] = {}
    for heat in result.heatmaps:
        by_name.setdefault(scale_name(heat, result.provenance), []).append(heat)
    found = {name: kept_scale(scene, name) or _first(maps) for name, maps in by_name.items()}
    return {name: scale for name, scale in found.items() if scale is not None}


def _first(maps: Sequence[Heatmap]) -> float | None:
    return 1.0 if maps[0].method == PATCHES else natural_scale(heat.values for heat in maps)


def _overlay(heat: Heatmap, provenance: Provenance | None, scales: dict[str, float], share: float) -> Overlay:
    told = {key: value for key, value in vars(heat).items() if key != "values"}
    name = scale_name(heat, provenance)
    attributes = {HEATMAP_ATTRIBUTE: json.dumps(told), SCALE_ATTRIBUTE: name}
    if provenance is not None:
        attributes[PROVENANCE_ATTRIBUTE] = json.dumps(asdict(provenance))
    title = f"{heat.label} ({', '.join(filter(None, (heat.method, heat.layer)))})"
    return Overlay(title, as_image_data(heat.values), scales.get(name, 1.0), share, attributes)


def _lay_most_probable(made: Sequence[Any], result: Classification) -> None:
    if made:
        heats = zip(made, result.heatmaps, strict=True)
        node, _ = max(heats, key=lambda pair: result.by_label.get(pair[1].label, 0.0))
        lay_over(node.GetScene(), node)
