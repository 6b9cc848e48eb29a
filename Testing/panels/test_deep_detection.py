"""The Deep Detection panel, clicked through: a bright ball, the real worker, a model that sees brightness."""

# ruff: noqa: E402 - Slicer's own names can be imported once the stand-ins are in place.
from __future__ import annotations

import io
import shutil
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="panels need slicer-core")
pytest.importorskip("PySide6", reason="panels need PySide6")

from DeepImagingLib import scene
from DeepImagingLib.bundles import user_model_folder
from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms import lung_nodules
from Testing.bundles.make_bundles import write_spleen_like
from Testing.bundles.make_detectors import RADIUS, ball, write_brightness_detector
from Testing.grids import affine
from Testing.panels.standins import click, install, load_module, process_events_until, unload_module

install()
import slicer

from DeepImagingPanel import runner, sample

MODULE = Path(__file__).parents[2] / "DeepImaging" / "DeepDetection" / "DeepDetection.py"
MODEL = "bright"
SHAPE = (30, 26, 20)
GRID = affine("LPS", (1.0, 1.2, 2.0), (30.0, -10.0, 5.0), (10.0, 0.0, 20.0))
CENTER = tuple((GRID @ [16.0, 12.0, 9.0, 1.0])[:3])
TABLE, ROI = "vtkMRMLTableNode", "vtkMRMLMarkupsROINode"


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    """The application's worker stays warm from test to test, as it does for a user."""
    yield
    runner.discard()


@pytest.fixture
def models() -> Iterator[Path]:
    """The user's model folder, with a detector in it and a model for segmentation."""
    folder = user_model_folder()
    write_brightness_detector(folder / MODEL)
    write_spleen_like(folder / "organs")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def panel(mrml_scene: Any, models: Path) -> Iterator[Any]:
    """The panel, opened in an empty scene."""
    _, widget = load_module(MODULE)
    widget.enter()
    yield widget
    runner.current().cancelAll()
    wait_until_idle()
    mrml_scene.Clear(0)
    unload_module("DeepDetection")


@pytest.fixture
def volume(panel: Any) -> Any:
    """A bright ball in a turned grid; panels hear of it."""
    voxels = ball(SHAPE, GRID, CENTER).numpy()[0].astype(np.int16)
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(voxels.T), GRID, "CT")
    process_events_until(lambda: True)
    return node


def wait_until_idle(timeout: float = 60.0) -> None:
    process_events_until(lambda: not runner.current().busy, timeout)


def nodes() -> set[str]:
    """All nodes but those that are made once and stay: a panel's state, the subject hierarchy."""
    found = (slicer.mrmlScene.GetNthNode(n) for n in range(slicer.mrmlScene.GetNumberOfNodes()))
    kept = ("vtkMRMLScriptedModuleNode", "vtkMRMLSubjectHierarchyNode")
    return {node.GetID() for node in found if node.GetClassName() not in kept}


def test_only_models_that_find_boxes_are_listed(panel):
    assert MODEL in panel.models.names()
    assert not {"organs", "torso_ct_segmentation"} & set(panel.models.names())


def test_a_ball_is_found_shown_judged_and_removed(panel, volume):
    before = nodes()
    click(panel.ui.applyButton)
    wait_until_idle()
    assert panel.ui.messageLabel.text == ""
    (table,) = slicer.util.getNodesByClass(TABLE)
    assert panel.result.node is table and not panel.ui.resultCollapsibleButton.collapsed
    first = scene.findings(table)[0]
    np.testing.assert_allclose(first.node.GetCenterWorld(), CENTER, atol=0.6)
    assert np.allclose(first.node.GetSize(), 2 * RADIUS, atol=2.0)
    assert first.detection.label == "ball" and table.GetAttribute("DeepImaging.Provenance")
    click(panel.result.ui.nextButton)
    click(panel.result.ui.acceptButton)
    assert scene.findings(table)[0].review is scene.Review.ACCEPTED
    click(panel.result.ui.removeButton)
    assert nodes() == before and panel.ui.resultCollapsibleButton.collapsed


def test_a_second_run_keeps_the_first_and_a_cancelled_one_leaves_nothing(panel, volume):
    click(panel.ui.applyButton)
    wait_until_idle()
    before = nodes()
    click(panel.ui.applyButton)
    click(panel.ui.applyButton)
    wait_until_idle()
    assert nodes() == before and "cancelled" in panel.ui.messageLabel.text
    click(panel.ui.applyButton)
    wait_until_idle()
    assert len(slicer.util.getNodesByClass(TABLE)) == 2


def test_a_scan_without_findings_is_an_empty_table_and_a_sentence(panel):
    air = np.random.default_rng(0).integers(-1050, -1024, SHAPE[::-1]).astype(np.int16)
    slicer.util.addVolumeFromArray(air, GRID, "air")
    process_events_until(lambda: panel.ui.applyButton.enabled)
    click(panel.ui.applyButton)
    wait_until_idle()
    (table,) = slicer.util.getNodesByClass(TABLE)
    assert table.GetNumberOfRows() == 0
    assert not any(box.GetDisplayNode().GetVisibility() for box in slicer.util.getNodesByClass(ROI))
    assert "No finding has this score" in panel.result.ui.countLabel.text


def test_the_logic_is_what_scripts_call_and_tells_places(panel, volume):
    organ = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    organ.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    organ.GetSegmentation().AddEmptySegment("liver", "liver")
    everywhere = np.ones(SHAPE[::-1], np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(everywhere, organ, "liver", volume)
    logic = sys.modules["DeepDetection"].DeepDetectionLogic()
    table = logic.process(volume, MODEL, precision="full", probabilities=("ball",))
    assert scene.findings(table)[0].place == "liver"
    (heatmap,) = scene.probability_volumes(table)
    assert heatmap.GetName() == "ball score" and slicer.util.arrayFromVolume(heatmap).max() > 0.3
    with pytest.raises(InputError, match="no volume"):
        logic.process(None, MODEL)


@pytest.mark.slow
def test_try_it_makes_a_chest_in_which_nodules_are_found(panel):
    click(panel.ui.tryButton)
    process_events_until(lambda: slicer.util.getNodesByClass(TABLE), 300)
    wait_until_idle()
    (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert panel.ui.inputSelector.currentNode() is volume and volume.GetName() == "Made-up chest CT"
    (table,) = slicer.util.getNodesByClass(TABLE)
    assert panel.result.node is table
    nodules = lung_nodules.sample(sample.CHEST.errand.seed)[1]
    found = [box.center for box in scene.detections_of(table).findings]
    assert any(np.linalg.norm(np.subtract(one, n.center)) < n.diameter / 2 for one in found for n in nodules)


def test_the_modules_own_tests_pass(panel):
    suite = unittest.TestSuite([sys.modules["DeepDetection"].DeepDetectionTest("runTest")])
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    assert result.testsRun == 1 and result.wasSuccessful(), result.failures + result.errors
