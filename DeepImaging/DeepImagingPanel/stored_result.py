"""What a segmentation node says of the run that made it, kept with it in saved scenes."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from DeepImagingLib.scene.removal import PROVENANCE_ATTRIBUTE
from DeepImagingLib.tasks.measures import Measure

MEASURES_ATTRIBUTE = "DeepImaging.Measures"
EDITED_ATTRIBUTE = "DeepImaging.Edited"


def storeMeasures(node: Any, measures: Sequence[Measure]) -> None:
    """Keep a run's measures with its node; the node's segments are as the run gave them."""
    node.SetAttribute(MEASURES_ATTRIBUTE, json.dumps([asdict(measure) for measure in measures]))
    node.RemoveAttribute(EDITED_ATTRIBUTE)


def forgetMeasures(node: Any) -> None:
    """Undo `storeMeasures`."""
    for attribute in (MEASURES_ATTRIBUTE, EDITED_ATTRIBUTE):
        node.RemoveAttribute(attribute)


def measuresOf(node: Any) -> list[Measure]:
    """Return the measures of the run's segments that are still there, with the names and colours they have now."""
    segmentation = node.GetSegmentation()
    found = []
    for row in _read(node, MEASURES_ATTRIBUTE, []):
        segment = segmentation.GetSegment(row["id"])
        if segment is not None:
            found.append(Measure(**{**row, "name": segment.GetName(), "color": segment.GetColor()}))
    return found


def provenanceOf(node: Any) -> dict[str, Any]:
    """Return the provenance of the run that made the node, {} where none is stored."""
    return _read(node, PROVENANCE_ATTRIBUTE, {})


def markEdited(node: Any) -> None:
    """Say of a node that its segments are no longer those that were measured."""
    node.SetAttribute(EDITED_ATTRIBUTE, "1")


def isEdited(node: Any) -> bool:
    """Tell whether segments were changed since they were measured."""
    return node.GetAttribute(EDITED_ATTRIBUTE) is not None


def _read(node: Any, attribute: str, otherwise: Any) -> Any:
    """Return an attribute's JSON; a file of a scene may have been cut, or edited by hand."""
    try:
        return json.loads(node.GetAttribute(attribute) or "null") or otherwise
    except ValueError:
        logging.getLogger(__name__).warning("The attribute %s of %s can't be read.", attribute, node.GetID())
        return otherwise
