"""The Deep Detection panel, clicked through: a bright ball, the real worker, a model that sees brightness."""

# ruff: noqa: E402 - Slicer's own names can be imported once the stand-ins are in place.
from __future__ import annotations

import io
import json
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
from DeepImagingLib.results import Segment, Segmentation
from Testing.boxes import provenance
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


def test_coloured_pictures_can_be_chosen(panel):
    photo = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(photo, np.random.default_rng(0).integers(0, 255, (1, 40, 30, 3), np.uint8))
    process_events_until(lambda: True)
    panel.ui.inputSelector.setCurrentNode(photo)
    assert panel.ui.inputSelector.currentNode() is photo
    assert "two-dimensional" in panel.ui.applyButton.toolTip
    panel.exit()
    panel.enter()
    assert panel.ui.inputSelector.currentNode() is photo is panel.logic.getParameterNode().inputVolume


def test_a_model_of_coloured_pictures_asks_for_one_picture(panel, models):
    folder = write_brightness_detector(models / "polyps")
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    metadata["network_data_format"]["inputs"]["image"]["channel_def"] = {"0": "R", "1": "G", "2": "B"}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    panel.enter()
    panel.logic.getParameterNode().model = "polyps"
    assert list(panel.inputs.volumes()) == ["image"]


def test_boxes_of_findings_are_no_regions_to_choose(panel, volume):
    region = slicer.mrmlScene.AddNewNodeByClass(ROI, "region")
    click(panel.ui.applyButton)
    wait_until_idle()
    process_events_until(lambda: True)
    (table,) = slicer.util.getNodesByClass(TABLE)
    copy = slicer.mrmlScene.AddNewNodeByClass(ROI)
    copy.Copy(scene.findings(table)[0].node)
    process_events_until(lambda: True)
    listed = [panel.ui.regionSelector.nodeFromIndex(n) for n in range(panel.ui.regionSelector.nodeCount())]
    assert len(slicer.util.getNodesByClass(ROI)) > 2 and listed == [region, copy]
    panel.exit()
    panel.enter()
    assert panel.ui.regionSelector.nodeCount() == 2


def test_places_are_told_by_what_another_model_made_of_the_scan(panel, volume):
    layers = np.ones((1, *SHAPE), np.uint8)
    liver = Segment("liver", "liver", 0, 1, (1.0, 0.0, 0.0))
    scene.show(Segmentation(layers, GRID, (liver,), True, provenance("organs")), volume)
    click(panel.ui.applyButton)
    wait_until_idle()
    (table,) = slicer.util.getNodesByClass(TABLE)
    assert scene.findings(table)[0].place == "liver"


def test_the_slider_of_a_second_result_hides_all_that_is_seen(panel, volume):
    for _ in range(2):
        click(panel.ui.applyButton)
        wait_until_idle()
    panel.result.ui.thresholdSlider.value = 1.0
    assert not any(box.GetDisplayNode().GetVisibility() for box in slicer.util.getNodesByClass(ROI))


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
