"""Deep Detection: finds lesions in scans with MONAI models, to be gone through one after the other and judged."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
if (TOP / "DeepImagingLib").is_dir():  # a source tree; installed, both packages lie beside this file
    sys.path += [str(path) for path in (TOP, TOP / "DeepImaging") if str(path) not in sys.path]

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from DeepImagingLib import scene
from DeepImagingLib.hosts import Outcome
from DeepImagingLib.results import Detection, Detections
from DeepImagingPanel import sample
from DeepImagingPanel.findings_section import FindingsSection
from DeepImagingPanel.inputs_section import PICTURE, VOLUME
from DeepImagingPanel.logic import PanelLogic
from DeepImagingPanel.module import PanelModule
from DeepImagingPanel.panel import PanelWidget
from DeepImagingPanel.scene_run import SceneRun


class DeepDetection(PanelModule):
    """What the module says of itself."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("Deep Detection")
        self.setHelp(
            _(
                "Finds lesions in a scan with a deep network (a MONAI bundle) and shows each as a box with a score. "
                "Choose a volume and a model, then Apply; go through the findings with N and P, accept with A, reject "
                "with X. For research only, not for clinical use."
            )
        )


class DeepDetectionLogic(PanelLogic):
    """Finds boxes in volumes.

    Example:
        logic = DeepDetectionLogic()
        table = logic.process(slicer.util.getNode("CT"), "lung_nodule_ct_detection")
        scores = [finding.detection.score for finding in DeepImagingLib.scene.findings(table)]
    """

    def process(
        self, inputVolume: Any, model: str, anatomySegmentation: Any = None, **options: Any
    ) -> slicer.vtkMRMLTableNode:
        """Look for findings, wait, and return the table node, of which `DeepImagingLib.scene.findings` gives them.

        Args:
            inputVolume: A volume node, or input names to volume nodes.
            model: A bundle's name or folder.
            anatomySegmentation: The node by which places are told in words; None takes that of the volume, if any.
            options: As of `start`.

        Raises:
            DeepImagingError: One sentence says what is wrong; the scene is as it was.
        """
        return self.start(inputVolume, model, anatomySegmentation, **options).result()

    def start(
        self, inputVolume: Any | Mapping[str, Any], model: str, anatomySegmentation: Any = None, **options: Any
    ) -> SceneRun:
        """Begin to look and return at once; further options are `trust`, `region` and those of `Options`."""
        return super().start(inputVolume, model, anatomySegmentation, **options)

    def show(self, outcome: Outcome, reference: Any, anatomySegmentation: Any = None) -> Any:
        """Make boxes and a table of what a run returned; returns the table node."""
        anatomy = anatomySegmentation or scene.anatomy_of(reference)
        return scene.show_findings(outcome.result, reference, anatomy=anatomy)


class DeepDetectionWidget(PanelWidget):
    """The panel."""

    intro = _("Finds lesions in a scan, to be gone through and judged.")
    task = "detection"
    given = "anatomy"
    tried = sample.CHEST
    inputKinds = (VOLUME, PICTURE)
    Logic = DeepDetectionLogic

    def makeResultSection(self) -> FindingsSection:
        """Return what shows findings."""
        return FindingsSection()


class DeepDetectionTest(ScriptedLoadableModuleTest):
    """What has to hold inside Slicer as outside."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        for test in (self.test_findingsAreShownJudgedAndRemoved,):
            self.setUp()
            test()

    def test_findingsAreShownJudgedAndRemoved(self) -> None:
        """A box stands where it was found, keeps what is said of it, and goes with all that came with it."""
        import numpy as np

        volume = slicer.util.addVolumeFromArray(np.zeros((20, 30, 40), np.int16), np.diag([-1.0, -1.0, 2.0, 1.0]))
        axes = np.diag([-1.0, -1.0, 1.0])
        box = Detection("nodule", 0.8, (-20.0, -10.0, 20.0), (6.0, 6.0, 8.0), axes, (17, 7, 8, 23, 13, 12))
        affine = np.diag([-1.0, -1.0, 2.0, 1.0])
        outcome = Outcome(Detections((box,), ("nodule",), 0.5, (40, 30, 20), affine), ())
        table = DeepDetectionLogic().show(outcome, volume)
        (finding,) = scene.findings(table)
        np.testing.assert_allclose(finding.node.GetCenterWorld(), box.center, atol=1e-4)
        scene.set_review(table, finding.node, scene.Review.ACCEPTED)
        self.assertIs(scene.findings(table)[0].review, scene.Review.ACCEPTED)
        scene.remove(table)
        for kind in ("vtkMRMLTableNode", "vtkMRMLMarkupsROINode", "vtkMRMLMarkupsROIDisplayNode"):
            self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass(kind), 0)
        self.delayDisplay("The finding was shown, judged and removed")
