"""Images of no real person, to try things with: made here, with nothing downloaded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from DeepImagingLib.errors import DeepImagingError
from DeepImagingLib.files import Voxels
from DeepImagingLib.hosts.errands import MakeChest, MakePhantom, MakeRadiograph
from DeepImagingPanel import runner


@dataclass(frozen=True)
class Sample:
    """What a panel makes to try its model with.

    Attributes:
        errand: Makes it, in the worker.
        model: Name of the shipped model that is tried.
        name: Of the volume.
    """

    errand: MakePhantom | MakeChest | MakeRadiograph
    model: str
    name: str


TORSO = Sample(MakePhantom(), "torso_ct_segmentation", _("Made-up torso CT"))
CHEST = Sample(MakeChest(), "lung_nodule_ct_detection_small", _("Made-up chest CT"))
RADIOGRAPH = Sample(MakeRadiograph(findings=("effusion",)), "chest_xray_findings_small", _("Made-up chest X-ray"))

CATEGORY = "Deep Imaging"
SAMPLE = "TorsoPhantom"
URI = "deepimaging:torso"
"""Where Sample Data has it from: no place, but `_madeFile` gives one."""


def addVolume(voxels: Voxels, name: str) -> Any:
    """Add a phantom to the scene as a volume, shown in the slice views; returns the node."""
    node = slicer.util.addVolumeFromArray(voxels.array, voxels.affine, slicer.mrmlScene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def makeVolume(sample: Sample = TORSO) -> list[Any]:
    """Make a phantom in the worker, add it and return its node in a list; Slicer goes on."""
    return [addVolume(_voxels(sample), sample.name)]


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
        return [addVolume(_voxels(TORSO), SAMPLE)]
    except DeepImagingError as error:
        slicer.util.errorDisplay(str(error))
        return []


def _madeFile(uri: str) -> str:
    """Return where a phantom was put as a file: `SampleData.downloadSample` takes files alone, from no downloader."""
    if uri != URI:
        return uri
    voxels, path = _voxels(TORSO), Path(slicer.app.temporaryPath, f"{SAMPLE}.nrrd")
    node = slicer.util.addVolumeFromArray(voxels.array, voxels.affine, SAMPLE)
    slicer.util.saveNode(node, str(path))
    slicer.mrmlScene.RemoveNode(node)
    return path.as_uri()


def _voxels(sample: Sample) -> Voxels:
    handle = runner.current().do(sample.errand, lambda _handle: None)
    while not handle.done:
        slicer.app.processEvents()
        time.sleep(0.005)
    return handle.result()
