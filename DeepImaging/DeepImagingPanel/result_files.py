"""Saves a result to the files other programs read, where the user says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from DeepImagingLib.files import staged
from DeepImagingLib.tasks.measures import as_csv
from DeepImagingPanel.stored_result import measuresOf

Writers = Mapping[str, Callable[[Any, Path], list[Path]]]
"""Ending → what writes a result's node to a file."""


def fileKinds() -> dict[str, str]:
    """Return ending → what a menu calls it."""
    return {
        ".seg.nrrd": _("Segmentation"),
        ".nii.gz": _("Labelmap"),
        ".nrrd": _("Labelmap"),
        ".stl": _("Surfaces"),
        ".obj": _("Surfaces"),
        ".csv": _("Table"),
    }


def save(node: Any, chosen: str, ending: str) -> list[Path]:
    """Write a result under the name that was chosen; the ending is added where it is missing.

    Returns:
        The files written.

    Raises:
        DeepImagingError: The name is taken, or writing failed.
        OSError: The folder can't be written to.
    """
    path = finalPath(chosen, ending)
    if ending != ".csv":
        return scene.export_segmentation(node, path)
    with staged([path]) as places:
        places[path].write_text(as_csv(measuresOf(node)), encoding="utf-8", newline="")
    return [path]


def saveBy(writers: Writers, node: Any, chosen: str, ending: str) -> list[Path]:
    """As `save`, by the writer of the ending."""
    path = finalPath(chosen, ending)
    with staged([path]) as places:
        writers[ending](node, places[path])
    return [path]


def finalPath(chosen: str, ending: str) -> Path:
    """Return the name that was chosen, with its ending; raises InputError where that is another one, and taken."""
    path = Path(chosen)
    if not path.name.lower().endswith(ending):
        path = path.with_name(path.name + ending)
        if path.exists():  # the user was asked about another name
            raise InputError(_("{name} is there already; choose another name.").format(name=repr(path.name)))
    return path
