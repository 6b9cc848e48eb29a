"""A scan of no real person, to try things with: made here, with nothing downloaded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from DeepImagingLib.errors import DeepImagingError
from DeepImagingLib.files import Voxels
from DeepImagingLib.hosts.errands import MakePhantom
from DeepImagingPanel import runner

CATEGORY = "Deep Imaging"
SAMPLE = "TorsoPhantom"
MODEL = "torso_ct_segmentation"
URI = "deepimaging:torso"
"""Where Sample Data has it from: no place, but `_madeFile` gives one."""


def addVolume(voxels: Voxels, name: str = "") -> Any:
    """Add a phantom to the scene as a volume, shown in the slice views; returns the node."""
    unique = slicer.mrmlScene.GenerateUniqueName(name or _("Made-up torso CT"))
    node = slicer.util.addVolumeFromArray(voxels.array, voxels.affine, unique)
    node.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def makeVolume() -> list[Any]:
    """Make a phantom in the worker, add it and return its node in a list; Slicer goes on."""
    return [addVolume(_voxels())]


def register() -> None:
    """List it in the Sample Data module, where that is there."""
    try:
        from SampleData import SampleDataLogic
    except ImportError:
        return
    SampleDataLogic.registerUrlRewriteRule("DeepImaging", _madeFile)
    SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE,
        uris=URI,
        fileNames=f"{SAMPLE}.nrrd",
        nodeNames=SAMPLE,
        customDownloader=_clicked,
    )


def _clicked(source: Any) -> list[Any]:
    """Do what Sample Data's button is for, and return the nodes, as it wants them."""
    try:
        return [addVolume(_voxels(), SAMPLE)]
    except DeepImagingError as error:
        slicer.util.errorDisplay(str(error))
        return []


def _madeFile(uri: str) -> str:
    """Return where a phantom was put as a file: `SampleData.downloadSample` takes files alone, from no downloader."""
    if uri != URI:
        return uri
    voxels, path = _voxels(), Path(slicer.app.temporaryPath, f"{SAMPLE}.nrrd")
    node = slicer.util.addVolumeFromArray(voxels.array, voxels.affine, SAMPLE)
    slicer.util.saveNode(node, str(path))
    slicer.mrmlScene.RemoveNode(node)
    return path.as_uri()


def _voxels() -> Voxels:
    handle = runner.current().do(MakePhantom(), lambda _handle: None)
    while not handle.done:
        slicer.app.processEvents()
        time.sleep(0.005)
    return handle.result()
