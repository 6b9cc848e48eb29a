"""A scene for each test, empty at its start."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer", reason="no Slicer scene here: slicer-core is not installed")


@pytest.fixture
def mrml():
    """The scene of the headless application, cleared of what an earlier test left."""
    import slicer

    from DeepImagingLib import scene

    scene.host()
    for node_class in ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTransformNode"):
        for node in slicer.util.getNodesByClass(node_class):
            slicer.mrmlScene.RemoveNode(node)
    return slicer.mrmlScene
