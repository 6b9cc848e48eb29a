"""A scan of no real person, to try things with: made here, with nothing downloaded."""

from __future__ import annotations

import time
from typing import Any

import slicer
from slicer.i18n import tr as _

from DeepImagingLib.files import Voxels
from DeepImagingLib.hosts.errands import MakePhantom
from DeepImagingPanel import runner

CATEGORY = "Deep Imaging"
SAMPLE = "TorsoPhantom"
MODEL = "torso_ct_segmentation"


def addVolume(voxels: Voxels) -> Any:
    """Add a phantom to the scene as a volume, shown in the slice views; returns the node."""
    name = slicer.mrmlScene.GenerateUniqueName(_("Made-up torso CT"))
    node = slicer.util.addVolumeFromArray(voxels.array, voxels.affine, name)
    node.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def makeVolume(source: Any = None) -> list[Any]:
    """Make a phantom in the worker, add it and return its node in a list, as Sample Data wants it; Slicer goes on."""
    handle = runner.current().do(MakePhantom(), lambda _handle: None)
    while not handle.done:
        slicer.app.processEvents()
        time.sleep(0.005)
    return [addVolume(handle.result())]


def register() -> None:
    """List it in the Sample Data module, where that is there."""
    try:
        from SampleData import SampleDataLogic
    except ImportError:
        return
    SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE,
        uris="",
        nodeNames=SAMPLE,
        customDownloader=makeVolume,
    )
