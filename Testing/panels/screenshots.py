"""Draw the panels in their states, to be looked at.

    python Testing/panels/screenshots.py --output DIR [--resources]

Each state in light and dark and in three widths, from a real run of the shipped model in the worker. `--resources`
writes those that the README shows to Resources/Screenshots. Needs slicer-core and PySide6.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "DeepImaging")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from Testing.panels.standins import click, install, load_module, process_events_until, render
from Testing.training import tiny

WIDTHS = (300, 420, 700)
GAP = 24
VIEWS = "views.png"
SHOWN = ("ready_420.png", "running_420.png", "done_420.png", "done_300_dark.png", "training_done_420.png")


def main() -> None:
    """Draw all states."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the pictures go")
    parser.add_argument("--resources", action="store_true", help="write the README's pictures as well")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DEEPIMAGING_MODELS"] = str(Path(folder) / "models")  # trainings lie beside it
        panel = open_panel()
        for state in states(panel, given.output / VIEWS):
            for width in WIDTHS:
                for dark in (False, True):
                    name = f"{state}_{width}{'_dark' if dark else ''}.png"
                    render(panel, given.output / name, width, dark)
        draw_detection(given.output)
        draw_classification(given.output)
        draw_training(given.output)
        close_worker()
    if given.resources:
        write_resources(given.output, ROOT / "Resources" / "Screenshots")


def open_panel(name: str = "DeepSegmentation") -> Any:
    """Open a panel."""
    install()
    _, panel = load_module(ROOT / "DeepImaging" / name / f"{name}.py")
    panel.enter()
    return panel


def draw_detection(output: Path) -> None:
    """Draw the Deep Detection panel, and what it puts into the views, on a torso with findings made by hand."""
    import numpy as np
    import slicer

    from DeepImagingLib import run, scene
    from DeepImagingPanel import sample
    from Testing.boxes import detections, provenance

    slicer.mrmlScene.Clear(0)
    panel = open_panel("DeepDetection")
    render(panel, output / "detection_empty_420.png", 420, False)
    volume = sample.makeVolume()[0]
    voxels = scene.voxels(volume)
    shape = voxels.array.shape[::-1]
    middles = np.array([(0.3, 0.5, 0.75), (0.68, 0.5, 0.7), (0.33, 0.6, 0.8), (0.3, 0.45, 0.65)]) * shape
    boxes = [(tuple(map(float, (*(at - half), *(at + half)))), score) for at, half, score in
             zip(middles, (3.0, 2.0, 1.5, 4.0), (0.94, 0.71, 0.56, 0.31))]  # fmt: skip
    result = detections(boxes, voxels.affine, shape, provenance=provenance("lung_nodule_ct_detection"))
    anatomy = scene.show(run(sample.TORSO.model, scene.read(volume)), volume, surface=False)
    table = scene.show_findings(result, volume, anatomy=anatomy)
    panel.logic.getParameterNode().result = table
    process_events_until(lambda: panel.result.node is table)
    render(panel, output / "detection_found_420.png", 420, False)
    click(panel.result.ui.nextButton)
    click(panel.result.ui.acceptButton)
    click(panel.result.ui.nextButton)
    click(panel.result.ui.rejectButton)
    for width in WIDTHS:
        for dark in (False, True):
            render(panel, output / f"detection_done_{width}{'_dark' if dark else ''}.png", width, dark)
    scene.write_sheet(table, output / "detection_sheet.png")


def draw_classification(output: Path) -> None:
    """Draw the Deep Classification panel on a made-up X-ray and on a CT, with probabilities made by hand."""
    import numpy as np
    import slicer

    from DeepImagingLib import scene
    from DeepImagingLib.scene import views
    from DeepImagingPanel import sample
    from Testing.classes import classification, heatmap
    from Testing.panels.test_deep_classification import write_findings

    slicer.mrmlScene.Clear(0)
    views.add_layout(slicer.mrmlScene)
    write_findings(Path(os.environ["DEEPIMAGING_MODELS"]) / "tiny_classification")
    panel = open_panel("DeepClassification")
    render(panel, output / "classification_empty_420.png", 420, False)
    volume = sample.makeVolume()[0]
    voxels = scene.voxels(volume)
    shape = voxels.array.shape[::-1]
    labels = ("cardiomegaly", "pleural effusion", "pneumothorax", "pulmonary nodule or mass", "consolidation", "none")
    parts = {
        "labels": labels,
        "probabilities": (0.61, 0.87, 0.02, 0.34, 0.18, 0.05),
        "thresholds": (0.5, 0.42, 0.3, 0.6, 0.5, 0.5),
        "uncalibrated": (0.7, 0.95, 0.01, 0.4, 0.2, 0.1),
        "heatmaps": (heatmap(shape, labels[1]), heatmap(shape, labels[0], "occlusion", sameness=0.8)),
    }
    course = (
        np.exp(-(((np.arange(shape[2])[:, None] - 0.6 * shape[2]) / (0.1 * shape[2])) ** 2)) * parts["probabilities"]
    )
    states = {
        "done": {},
        "slices": {"slices": course},
        "unlike": {"unlike": 1.7},
    }
    for state, further in states.items():
        table = scene.show_classes(classification(voxels.affine, shape, **{**parts, **further}), volume)
        panel.logic.getParameterNode().result = table
        process_events_until(lambda table=table: panel.result.node is table)
        for width in WIDTHS:
            for dark in (False, True):
                render(panel, output / f"classification_{state}_{width}{'_dark' if dark else ''}.png", width, dark)
    scene.write_class_picture(table, output / "classification_picture.png")


def draw_training(output: Path) -> None:
    """Draw the Deep Training panel: paired, checked, training, done."""
    import nibabel
    import numpy as np
    import slicer

    from DeepImagingPanel import runner

    slicer.mrmlScene.Clear(0)
    panel = open_panel("DeepTraining")
    render(panel, output / "training_empty_420.png", 420, False)
    with tempfile.TemporaryDirectory() as folder:
        files = tiny.write_scans(Path(folder) / "scans")
        for number, path in enumerate(sorted((files / "images").iterdir()), 1):
            image, labels = nibabel.load(path), np.asarray(nibabel.load(files / "labels" / path.name).dataobj)
            values = np.ascontiguousarray(np.asarray(image.dataobj).astype(np.int16).T)
            volume = slicer.util.addVolumeFromArray(values, image.affine, f"CT {number}")
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"CT {number} segmentation")
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
            for value, name in ((1, "stone"), (2, "spleen")):
                segment = node.GetSegmentation().AddEmptySegment("", name)
                mask = np.ascontiguousarray((labels == value).astype(np.uint8).T)
                slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
    process_events_until(lambda: panel.ui.casesTable.rowCount == 4)
    panel.ui.nameEdit.text, panel.ui.epochsSpinBox.value = "stones", 60
    panel.ui.baseSelector.currentIndex = panel.ui.baseSelector.count - 1
    click(panel.ui.checkButton)
    settle(lambda: not runner.current("Training").busy)
    for width, dark in ((420, False), (300, True)):
        render(panel, output / f"training_checked_{width}{'_dark' if dark else ''}.png", width, dark)
    click(panel.ui.startButton)
    process_events_until(lambda: "Training" in panel.ui.stageLabel.text and panel.ui.progressBar.value > 0, 60)
    render(panel, output / "training_running_420.png", 420, False)
    settle(lambda: not runner.current("Training").busy)
    render(panel, output / "training_done_420.png", 420, False)
    runner.discard("Training")


def states(panel: Any, views: Path) -> Iterator[str]:
    """Bring the panel into one state after the other; yields the name of each. `views` becomes what a run shows."""
    import slicer

    from DeepImagingLib import run, scene
    from DeepImagingPanel import requirements, runner, sample

    yield "empty"
    volume = sample.makeVolume()[0]
    process_events_until(lambda: panel.ui.applyButton.enabled)
    yield "ready"
    click(panel.ui.modelCardButton)
    yield "card"
    click(panel.ui.modelCardButton)
    click(panel.ui.advancedCollapsibleButton)
    yield "advanced"
    click(panel.ui.advancedCollapsibleButton)
    click(panel.ui.applyButton)
    process_events_until(lambda: "Computing" in panel.ui.stageLabel.text and panel.ui.progressBar.value > 0, 60)
    with standing_still():
        yield "running"
    settle(lambda: not runner.current().busy)
    image = scene.read(volume)
    scene.ResultExport(run(sample.TORSO.model, image), {volume.GetName(): image}, "CT").write_png(views)
    yield "done"
    click(panel.result.ui.provenanceButton)
    yield "provenance"
    click(panel.result.ui.provenanceButton)
    click(panel.ui.applyButton)
    click(panel.ui.queueButton)
    process_events_until(lambda: panel.ui.progressBar.value > 0, 60)
    with standing_still():
        yield "queue"
    click(panel.ui.queueCancelAllButton)
    settle(lambda: not runner.current().busy)
    click(panel.ui.applyButton)
    process_events_until(lambda: panel.ui.progressBar.value > 0, 60)
    slicer.util.arrayFromVolumeModified(volume)
    settle(lambda: not runner.current().busy)
    yield "error"
    with mock.patch.object(requirements.importlib.metadata, "version", version_without_torch):
        panel.install.refresh()
        yield "install"


@contextmanager
def standing_still() -> Iterator[None]:
    """Let no run go on, so that all pictures of a state show the same."""
    from DeepImagingPanel import runner

    timer = runner.current()._timer
    timer.stop()
    yield
    timer.start(0)


def version_without_torch(name: str, version: Callable[[str], str] = metadata.version) -> str:
    """Tell versions as in a Slicer that has neither PyTorch nor MONAI yet."""
    if name in ("torch", "monai"):
        raise metadata.PackageNotFoundError(name)
    return version(name)


def settle(condition: Callable[[], bool]) -> None:
    """Wait until a run has ended and the panel shows it."""
    process_events_until(condition, 60)
    process_events_until(lambda: True)


def close_worker() -> None:
    """End the application's worker."""
    from DeepImagingPanel import runner

    runner.discard()


def write_resources(drawn: Path, resources: Path) -> None:
    """Put together what the README shows."""
    side_by_side([drawn / "done_300.png", drawn / VIEWS], resources / "panel.png")
    for picture in SHOWN:
        (resources / f"panel_{picture}").write_bytes((drawn / picture).read_bytes())


def side_by_side(pictures: list[Path], path: Path) -> None:
    """Write pictures as one, from left to right."""
    from PySide6 import QtCore, QtGui

    images = [QtGui.QImage(str(picture)) for picture in pictures]
    height = min(image.height() for image in images)
    images = [image.scaledToHeight(height, QtCore.Qt.TransformationMode.SmoothTransformation) for image in images]
    width = sum(image.width() for image in images) + GAP * (len(images) + 1)
    sheet = QtGui.QImage(width, height + 2 * GAP, QtGui.QImage.Format.Format_RGB32)
    sheet.fill(QtCore.Qt.GlobalColor.white)
    painter, left = QtGui.QPainter(sheet), GAP
    for image in images:
        painter.drawImage(left, GAP, image)
        left += image.width() + GAP
    painter.end()
    sheet.save(str(path))


if __name__ == "__main__":
    main()
