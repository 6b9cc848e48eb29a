"""How far a check or a training is, as a bar and in words."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib.hosts import Handle
from DeepImagingPanel.scene_scans import SceneScans

FULL = 1000


def showProgress(ui: Any, handle: Handle | None, scans: SceneScans | None) -> None:
    """Show how far a job is, or the writing of scans before it; nothing where there is none."""
    told = handle.progress if handle is not None else None
    ui.progressBar.visible = ui.stageLabel.visible = handle is not None
    fraction, text = (told.fraction if told is not None else 0.0), _stage(told)
    if scans is not None and not scans.done:
        fraction, text = scans.fraction, scans.text
    ui.progressBar.maximum = FULL if fraction > 0 else 0
    ui.progressBar.value = round(FULL * fraction)
    ui.stageLabel.text = text if handle is not None else ""


def _stage(told: Any) -> str:
    if told is None:
        return _("Starting …")
    names = {"training": _("Training"), "writing the bundle": _("Writing the model")}
    stage = names.get(told.stage, told.stage)
    if told.seconds_left is None or told.seconds_left < 1:
        return _("{stage} …").format(stage=stage)
    return _("{stage}, about {count} min left").format(stage=stage, count=max(1, round(told.seconds_left / 60)))
