"""A scene for each test, empty at its start."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.tasks.terminology import look_up
from Testing.scene.nodes import GRID, add_volume

pytest.importorskip("slicer", reason="no Slicer scene here: slicer-core is not installed")


@pytest.fixture
def mrml():
    """The scene of the headless application, cleared of what an earlier test left."""
    import slicer

    from DeepImagingLib import scene

    scene.host()
    kinds = ("Volume", "Segmentation", "Transform", "MarkupsROI", "Table", "PlotChart", "PlotSeries", "ScriptedModule")
    for node_class in (f"vtkMRML{kind}Node" for kind in kinds):
        for node in slicer.util.getNodesByClass(node_class):
            slicer.mrmlScene.RemoveNode(node)
    return slicer.mrmlScene


@pytest.fixture
def volume(mrml, blob):
    """A scan in the scene."""
    return add_volume(blob, GRID)


@pytest.fixture
def overlapping(blob) -> Segmentation:
    """A whole with a core inside it on another layer, and a neighbour beside it on the same one."""
    layers = np.zeros((2, *blob.shape), np.uint8)
    layers[0][blob > 0] = 1
    layers[0][15:, :, :] = 3
    layers[1][6:9, 12:16, 5:8] = 2
    names = [("liver", 0, 1), ("core", 1, 2), ("left kidney", 0, 3)]
    segments = tuple(
        Segment(n.replace(" ", "_"), n, layer, v, look_up(n, v)[1], look_up(n)[0]) for n, layer, v in names
    )
    return Segmentation(layers, GRID, segments, exclusive=False)
