"""Have MONAI's networks find the parts of torchvision that are plain Python, also beside a build that can't be used.

MONAI's feature pyramid takes a class from torchvision that needs none of its compiled operators. PyPI's torchvision is
linked to CUDA, and beside another build of torch its import ends at the first operator it describes. Declaring what
that operator takes and gives lets it be imported; whoever calls the operator still gets an error.
"""

from __future__ import annotations

import sys
from typing import Any

from DeepImagingLib.errors import BundleError

MISMATCH = "operator torchvision::"
"""How the import fails where compiled operators are missing."""
SCHEMAS = tuple(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms"))
"""Of the operators that torchvision describes whether or not they are there."""
NEED_IT = ("resnet_fpn_feature_extractor", "BackboneWithFPN", "TorchVisionFCModel")
"""The parts of MONAI that stand on classes of torchvision's."""
LATE = (
    ("monai.networks.blocks.backbone_fpn_utils", "torchvision_models"),
    ("monai.networks.nets.torchvision_fc", "models"),
)
"""Where MONAI keeps torchvision's models."""
_declared: list[Any] = []
"""What torch forgets once nobody holds it."""


def load_for(config: object) -> None:
    """Import torchvision where a config asks for one of MONAI's parts that need it; raises as `load` does."""
    text = str(config)
    if any(name in text for name in NEED_IT):
        load()


def load() -> None:
    """Import torchvision, its operators declared only where they are missing.

    Raises:
        BundleError: It isn't installed, or damaged in another way.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if MISMATCH not in str(error) or _declared:
            raise _unusable(error) from error
        _declare()
        return load()
    except ImportError as error:
        raise _unusable(error) from error
    for module, name in LATE:
        if module in sys.modules:  # which looked for it before, in vain
            setattr(sys.modules[module], name, torchvision.models)
    return None


def _declare() -> None:
    import torch

    library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # not typed in torch
    for schema in SCHEMAS:
        library.define(schema)
    _declared.append(library)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # halves of the first try


def _unusable(error: Exception) -> BundleError:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return BundleError(f"The model needs torchvision, which can't be imported ({reason}); install it beside torch.")
