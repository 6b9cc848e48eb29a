"""Deep Segmentation: finds structures in scans with MONAI models, beside a window that never freezes."""

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

from DeepImagingLib.errors import CancelledError
from DeepImagingPanel import sample
from DeepImagingPanel.logic import PanelLogic
from DeepImagingPanel.module import PanelModule
from DeepImagingPanel.panel import PanelWidget
from DeepImagingPanel.scene_run import SceneRun
from DeepImagingPanel.stored_result import measuresOf


class DeepSegmentation(PanelModule):
    """What the module says of itself."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("Deep Segmentation")
        self.setHelp(
            _(
                "Finds organs and lesions in a scan with a deep network (a MONAI bundle) and shows them as a "
                "segmentation. Choose a volume and a model, then Apply; Slicer can be used while it runs. "
                "For research only, not for clinical use."
            )
        )


class DeepSegmentationLogic(PanelLogic):
    """Segments volumes.

    Example:
        logic = DeepSegmentationLogic()
        segmentation = logic.process(slicer.util.getNode("CT"), "torso_ct_segmentation")
    """

    def process(
        self, inputVolume: Any, model: str, outputSegmentation: Any = None, **options: Any
    ) -> slicer.vtkMRMLSegmentationNode:
        """Segment, wait, and return the segmentation node.

        Args:
            inputVolume: A volume node, or input names to volume nodes.
            model: A bundle's name or folder.
            outputSegmentation: The node to fill; None makes a new one.
            options: As of `start`.

        Raises:
            DeepImagingError: One sentence says what is wrong; the scene is as it was.
        """
        return self.start(inputVolume, model, outputSegmentation, **options).result()

    def start(
        self, inputVolume: Any | Mapping[str, Any], model: str, outputSegmentation: Any = None, **options: Any
    ) -> SceneRun:
        """Begin to segment and return at once; further options are `trust`, `region` and those of `Options`."""
        return super().start(inputVolume, model, outputSegmentation, **options)


class DeepSegmentationWidget(PanelWidget):
    """The panel."""

    intro = _("Finds structures in a scan and shows them as a segmentation.")
    task = "segmentation"
    Logic = DeepSegmentationLogic


class DeepSegmentationTest(ScriptedLoadableModuleTest):
    """What has to hold inside Slicer as outside."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        for test in (self.test_aPhantomIsSegmented, self.test_aCancelledRunLeavesTheSceneAsItWas):
            self.setUp()
            test()

    def test_aPhantomIsSegmented(self) -> None:
        """The shipped model finds the liver of a phantom, on its right side, and about as much of it as there is."""
        volume = sample.makeVolume()[0]
        node = DeepSegmentationLogic().process(volume, sample.TORSO.model)
        self.assertTrue(node.IsA("vtkMRMLSegmentationNode"))
        liver = next(measure for measure in measuresOf(node) if measure.name == "liver")
        self.assertTrue(1000 < liver.milliliters < 2500, liver)
        segmentId = node.GetSegmentation().GetSegmentIdBySegmentName("liver")
        self.assertGreater(node.GetSegmentCenterRAS(segmentId)[0], 0)
        self.delayDisplay("The phantom is segmented")

    def test_aCancelledRunLeavesTheSceneAsItWas(self) -> None:
        """Nothing is added by a run that is cancelled, and the next one works."""
        volume = sample.makeVolume()[0]
        before = slicer.mrmlScene.GetNumberOfNodes()
        logic = DeepSegmentationLogic()
        run = logic.start(volume, sample.TORSO.model)
        run.cancel()
        with self.assertRaises(CancelledError):
            run.result()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
        self.assertTrue(logic.process(volume, sample.TORSO.model))
        self.delayDisplay("The cancelled run left nothing")
