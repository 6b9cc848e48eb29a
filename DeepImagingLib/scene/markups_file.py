"""Write findings as boxes that Slicer loads by itself: `.mrk.json`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from DeepImagingLib.errors import OutputError
from DeepImagingLib.scene.detections import Finding, found_by_run, relist, threshold_of
from DeepImagingLib.scene.volumes import as_array, as_matrix

SCHEMA = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"


def write_markups(table: Any, path: Path) -> list[Path]:
    """Write the findings of a table node that are shown, each as a ROI where the views show it.

    Coordinates are LPS in mm, as the file says, also where there is no box in it. Score and review are in the
    description of each box, and the file tells from which score they are shown, and how many boxes of the run the scene
    keeps. The elements are those of Slicer's own storage node, which writes one a file and reads several.

    Returns:
        The file.

    Raises:
        OutputError: Slicer's writer failed.
    """
    every, threshold = relist(table), threshold_of(table)
    shown = [finding for finding in every if finding.detection.score >= threshold]
    with tempfile.TemporaryDirectory() as folder:
        written = [_written(finding, Path(folder) / "finding.mrk.json") for finding in shown]
    schema = written[0]["@schema"] if written else SCHEMA
    content = {
        "@schema": schema,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "shown_from": threshold,
        "kept": len(every),
        "found": found_by_run(table),
        "markups": [markup for one in written for markup in one["markups"]],
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [path]


def _written(finding: Finding, path: Path) -> dict[str, Any]:
    import slicer

    storage = slicer.vtkMRMLMarkupsROIJsonStorageNode()
    storage.SetFileName(str(path))
    scene = slicer.vtkMRMLScene()  # of its own: a node has its display node in a scene only
    if not storage.WriteData(_in_world(finding.node, scene)):
        raise OutputError("The findings could not be written; is the disk full?")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    content["markups"][0]["name"] = finding.node.GetName()
    return content


def _in_world(node: Any, scene: Any) -> Any:
    """Return a copy that stands under no transform."""
    import slicer

    copy, display = slicer.vtkMRMLMarkupsROINode(), slicer.vtkMRMLMarkupsROIDisplayNode()
    scene.AddNode(copy)
    scene.AddNode(display)
    display.CopyContent(node.GetDisplayNode())
    display.SetVisibility(True)  # an earlier result's boxes are hidden
    copy.SetAndObserveDisplayNodeID(display.GetID())
    world_from_box = as_array(node.GetObjectToWorldMatrix())
    stretch = np.linalg.norm(world_from_box[:3, :3], axis=0)
    world_from_box[:3, :3] /= stretch
    copy.SetSize(*(stretch * node.GetSize()))
    copy.SetAndObserveObjectToNodeMatrix(as_matrix(world_from_box))
    copy.SetNthControlPointLabel(0, node.GetName())
    copy.SetNthControlPointDescription(0, node.GetNthControlPointDescription(0))
    copy.SetLocked(True)
    return copy
