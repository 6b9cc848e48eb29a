"""What a panel remembers: in the scene, so that it comes back with it, and of the user, over all scenes."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import qt
from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLStorableNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Decimals, SingleStep, WithinRange, parameterNodeWrapper

TRUSTED_SETTING = "DeepImaging/TrustedModels"


class Device(Enum):
    """Where a run computes; the value is what `Options.device` takes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """Return the name in the list."""
        return {
            "auto": _("Fastest available"),
            "cpu": _("Processor (CPU)"),
            "cuda": _("NVIDIA graphics card (CUDA)"),
            "mps": _("Apple graphics (MPS)"),
        }[self.value]


class Precision(Enum):
    """How exactly it computes; the value is what `Options.precision` takes."""

    AUTO = "auto"
    FULL = "full"
    HALF = "half"

    def label(self) -> str:
        """Return the name in the list."""
        return {"auto": _("Automatic"), "full": _("Full (32 bit)"), "half": _("Half (16 bit)")}[self.value]


@parameterNodeWrapper
class PanelParameterNode:
    """The choices in a panel.

    inputVolume - the first input; further ones are node references of their own, see `inputs_section`.
    model - name of the model.
    output - the node to fill; none makes a new one.
    anatomy - by which places of findings are told; none takes the segmentation of the volume, if it has one.
    result - what the result section shows: a segmentation, or a table of findings.
    device, precision, region - how and where to compute.
    memoryLimit - in GB; 0 leaves it to the run.
    probability - of which label there are to be probabilities: "" none, else as in `Options.probabilities`.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    model: str
    output: vtkMRMLSegmentationNode
    anatomy: vtkMRMLSegmentationNode
    result: vtkMRMLStorableNode
    device: Device = Device.AUTO
    precision: Precision = Precision.AUTO
    region: vtkMRMLMarkupsROINode
    memoryLimit: Annotated[float, WithinRange(0.0, 1000.0), Decimals(1), SingleStep(1.0)] = 0.0
    probability: str


def trusted() -> set[str]:
    """Return the SHA-256 of what the user trusts. It is kept with the user and never in a scene: those come by mail."""
    return set(filter(None, str(qt.QSettings().value(TRUSTED_SETTING) or "").split(",")))


def setTrusted(sha256: str, trust: bool) -> None:
    """Trust a content, or no longer."""
    changed = trusted() | {sha256} if trust else trusted() - {sha256}
    qt.QSettings().setValue(TRUSTED_SETTING, ",".join(sorted(changed)))
