"""What modules share is really shared: a second one needs a line of text."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="panels need slicer-core")
pytest.importorskip("PySide6", reason="panels need PySide6")

from Testing.panels.standins import click, install, load_module, process_events_until, unload_module

SECOND = """
from DeepImagingPanel.module import PanelModule
from DeepImagingPanel.panel import PanelWidget


class DeepSecond(PanelModule):
    pass


class DeepSecondWidget(PanelWidget):
    intro = "A second module."
    task = "segmentation"
"""


@pytest.fixture
def second(mrml_scene, tmp_path: Path):
    """The panel of a module that is nothing but its text."""
    file = tmp_path / "DeepSecond" / "DeepSecond.py"
    file.parent.mkdir()
    file.write_text(SECOND)
    _, widget = load_module(file)
    widget.enter()
    yield widget
    mrml_scene.Clear(0)
    unload_module("DeepSecond")


def test_a_second_module_runs_models_cancels_and_shows_results(second):
    install()
    import slicer

    from DeepImagingPanel import runner

    try:
        assert second.ui.introLabel.text == "A second module."
        assert second.ui.outputsCollapsibleButton.isHidden()  # it has no .ui file with an output
        click(second.ui.tryButton)
        process_events_until(lambda: slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), 60)
        process_events_until(lambda: not runner.current().busy)
        assert second.result.node is slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0]
        click(second.ui.applyButton)
        click(second.ui.applyButton)
        process_events_until(lambda: not runner.current().busy)
        assert "cancelled" in second.ui.messageLabel.text
        assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    finally:
        runner.discard()
