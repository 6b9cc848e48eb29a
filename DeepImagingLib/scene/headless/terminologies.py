"""The terminology files that Slicer's logic looks for, written from our own table: slicer-core ships none.

Format: dcmqi's segment and anatomic context schemas (https://github.com/QIICR/dcmqi/tree/master/doc/schemas).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from DeepImagingLib.results import Code
from DeepImagingLib.tasks.terminology import SIDES, Entry, entries

SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc"
CONTEXTS = {
    "SegmentationCategoryTypeModifier-SlicerGeneralAnatomy": "3D Slicer General Anatomy list",
    "SegmentationCategoryTypeModifier-DICOM-Master": "DICOM master list",
}
REGIONS = "AnatomicRegionAndModifier-DICOM-Master"


def write_terminologies(folder: Path) -> None:
    """Write the files Slicer's terminologies logic loads at its start into `folder`, which exists."""
    categories = _categories()
    for name, context in CONTEXTS.items():
        content = {
            "SegmentationCategoryTypeContextName": f"Segmentation category and type - {context}",
            "@schema": f"{SCHEMA}/segment-context-schema.json#",
            "SegmentationCodes": {"Category": categories},
        }
        _write(folder / f"{name}.term.json", content)
    regions = {
        "AnatomicContextName": "Anatomic codes - DICOM master list",
        "@schema": f"{SCHEMA}/anatomic-context-schema.json#",
        "AnatomicCodes": {"AnatomicRegion": []},
    }
    _write(folder / f"{REGIONS}.term.json", regions)


def _categories() -> list[dict[str, Any]]:
    """Group the table's entries by category; each type can be left or right."""
    grouped: dict[Code, dict[str, dict[str, Any]]] = {}
    for entry in entries():
        types = grouped.setdefault(entry.terminology.category, {})
        types[entry.terminology.type.value] = _type(entry)
    return [
        {**_plain(category), "showAnatomy": True, "Type": list(types.values())} for category, types in grouped.items()
    ]


def _type(entry: Entry) -> dict[str, Any]:
    color = [round(255 * c) for c in entry.color]
    sides = [{**_plain(side), "recommendedDisplayRGBValue": color} for side in SIDES.values()]
    return {**_plain(entry.terminology.type), "recommendedDisplayRGBValue": color, "Modifier": sides}


def _plain(code: Code) -> dict[str, str]:
    return {"CodingSchemeDesignator": code.scheme, "CodeValue": code.value, "CodeMeaning": code.meaning}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
