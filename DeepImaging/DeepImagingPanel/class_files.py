"""Saves a classification to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.files import write_classes_csv, write_classes_json
from DeepImagingPanel.result_files import Writers, saveBy


def fileKinds() -> dict[str, str]:
    """Return ending → what a menu calls it."""
    return {".json": _("Probabilities"), ".csv": _("Table"), ".png": _("Picture")}


def save(table: Any, chosen: str, ending: str) -> list[Path]:
    """Write a classification under the name that was chosen; the ending is added where it is missing.

    Returns:
        The files written.

    Raises:
        DeepImagingError: The name is taken, the image is gone whose picture is asked for, or writing failed.
        OSError: The folder can't be written to.
    """
    return saveBy(WRITERS, table, chosen, ending)


WRITERS: Writers = {
    ".json": lambda table, path: write_classes_json(scene.classification_of(table), path),
    ".csv": lambda table, path: write_classes_csv(scene.classification_of(table), path),
    ".png": scene.write_class_picture,
}
