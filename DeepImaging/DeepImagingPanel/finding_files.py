"""Saves findings to files, with what was said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.files import KeptBoxes, write_findings_csv, write_findings_json
from DeepImagingPanel.result_files import Writers, saveBy


def fileKinds() -> dict[str, str]:
    """Return ending → what a menu calls it."""
    return {
        ".json": _("Findings"),
        ".csv": _("Table"),
        ".mrk.json": _("Boxes"),
        ".png": _("Pictures"),
    }


def save(table: Any, chosen: str, ending: str) -> list[Path]:
    """Write findings under the name that was chosen; the ending is added where it is missing.

    Returns:
        The files written.

    Raises:
        DeepImagingError: The name is taken, the volume is gone whose picture is asked for, or writing failed.
        OSError: The folder can't be written to.
    """
    return saveBy(WRITERS, table, chosen, ending)


def _plain(write: Callable[..., list[Path]]) -> Callable[[Any, Path], list[Path]]:
    """Return a writer of a table node, of one that knows results and no nodes."""
    return lambda table, path: write(scene.detections_of(table), path, _kept(table))


def _kept(table: Any) -> KeptBoxes:
    found = scene.findings(table)
    return KeptBoxes(
        reviews={number: finding.review.value for number, finding in enumerate(found)},
        ranks=[finding.rank for finding in found],
        found=scene.found_by_run(table),
        shown_from=scene.threshold_of(table),
    )


WRITERS: Writers = {
    ".json": _plain(write_findings_json),
    ".csv": _plain(write_findings_csv),
    ".mrk.json": scene.write_markups,
    ".png": scene.write_sheet,
}
