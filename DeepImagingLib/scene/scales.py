"""What the colours of heatmaps stand for: the same in every map of a model and a method, run after run.

Raw values of a heatmap have no unit that models share, so the first map of a model, a method and a layer sets the
scale, and a scene keeps it, also when results are removed or the scene is saved, until `fit_scale` sets it anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.results import Heatmap, Provenance
from DeepImagingLib.scene.overlays import set_scale
from DeepImagingLib.scene.volumes import kji_array

SCALE_ATTRIBUTE = "DeepImaging.Scale"
"""Of a heatmap's volume: the name under which the scene keeps its scale."""
KEEPER = "DeepImagingHeatmapScales"
HIGHEST = 99.9
"""Percentile of a map's positive values that the brightest colour stands for: single voxels of integrated gradients
lie far above all others."""


def scale_name(heat: Heatmap, provenance: Provenance | None) -> str:
    """Return under which name a scene keeps the scale of a map: the same for maps that can be compared."""
    model = f"{provenance.bundle} {provenance.sha256}" if provenance else ""
    return f"{model} {heat.method} {heat.layer}".strip()


def kept_scale(scene: Any, name: str) -> float | None:
    """Return the scale that a scene keeps under a name, None where there is none yet."""
    keeper = scene.GetSingletonNode(KEEPER, "vtkMRMLScriptedModuleNode")
    text = keeper.GetParameter(name) if keeper is not None else ""
    return float(text) if text else None


def keep_scale(scene: Any, name: str, scale: float) -> None:
    """Have a scene keep a scale, in a hidden node of its own."""
    import slicer

    keeper = scene.GetSingletonNode(KEEPER, "vtkMRMLScriptedModuleNode")
    if keeper is None:
        keeper = slicer.vtkMRMLScriptedModuleNode()
        keeper.SetSingletonTag(KEEPER)
        keeper.SetName(KEEPER)
        keeper = scene.AddNode(keeper)
    keeper.SetParameter(name, repr(float(scale)))


def natural_scale(maps: Iterable[npt.NDArray[Any]]) -> float | None:
    """Return the scale that shows maps best, of any shape; None where none has a value above 0."""
    positive = [values[values > 0] for values in maps]
    return max((float(np.percentile(values, HIGHEST)) for values in positive if len(values)), default=None)


def fit_scale(volume: Any) -> float:
    """Set the scale of a heatmap, and of all maps it can be compared with, by those that are in the scene now.

    Returns:
        The scale; as it was where no map has a value above 0.
    """
    scene, name = volume.GetScene(), volume.GetAttribute(SCALE_ATTRIBUTE)
    alike = [node for node in _volumes(scene) if node.GetAttribute(SCALE_ATTRIBUTE) == name]
    scale = natural_scale(kji_array(node.GetImageData()) for node in alike) or kept_scale(scene, name) or 1.0
    for node in alike:
        set_scale(node, scale)
    keep_scale(scene, name, scale)
    return scale


def _volumes(scene: Any) -> list[Any]:
    kind = "vtkMRMLScalarVolumeNode"
    return [scene.GetNthNodeByClass(number, kind) for number in range(scene.GetNumberOfNodesByClass(kind))]
