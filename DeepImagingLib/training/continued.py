"""From a bundle and labelled scans to a recipe: the bundle's network and preprocessing, for other labels."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from DeepImagingLib.errors import BundleError

if TYPE_CHECKING:
    from DeepImagingLib.bundles import Bundle

OUTPUTS = ("out_channels", "num_classes", "n_classes", "classes")
"""What MONAI's networks call the number of their outputs."""

LOADING = ("LoadImaged", "EnsureChannelFirstd", "AsChannelFirstd", "AddChanneld")
SPATIAL = ("monai.transforms.spatial.dictionary", "monai.transforms.croppad.dictionary")
IMAGE, LABEL = "image", "label"


def network_settings(bundle: Bundle, outputs: int) -> dict[str, Any]:
    """Return the settings of the bundle's network for another number of outputs.

    Raises:
        BundleError: They don't say how many outputs it has.
    """
    found = [bundle.config.get(key) for key in ("network_def", "network")]
    settings = next((deepcopy(value) for value in found if isinstance(value, dict)), None)
    name = next((key for key in OUTPUTS if settings and settings.get(key) == len(bundle.labels)), None)
    if settings is None or name is None:
        raise BundleError(
            f"The network of {bundle.name} doesn't say in one of {', '.join(OUTPUTS)} how many outputs it has; "
            "begin from another bundle or from scratch."
        )
    return {**settings, name: outputs}


def case_transforms(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the bundle's preprocessing, for labels beside the image: what moves the one moves the other.

    Raises:
        BundleError: The preprocessing is no list of MONAI's transforms.
    """
    preprocessing = bundle.config["preprocessing"]
    listed = preprocessing.get("transforms") if isinstance(preprocessing, dict) else None
    if not isinstance(listed, list) or not all(isinstance(step, dict) for step in listed):
        raise BundleError(f"The preprocessing of {bundle.name} is no plain list of transforms; begin from scratch.")
    if len(bundle.image_keys) != 1:
        raise BundleError(f"{bundle.name} loads {len(bundle.image_keys)} images on their own; begin from scratch.")
    steps = [_for_both(step, bundle.image_keys[0]) for step in listed if _name(step) not in LOADING]
    return [step for step in steps if step]


def _name(step: Mapping[str, Any]) -> str:
    return str(step["_target_"]).rpartition(".")[2]


def _for_both(step: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a step that does to the labels what it does to the image's place, and leaves their values alone."""
    import monai.transforms

    kind = getattr(monai.transforms, _name(step), None)
    renamed = {name: IMAGE if value == key else value for name, value in step.items()}
    if kind is None or not kind.__module__.startswith(SPATIAL):
        return {**renamed, "keys": [IMAGE]}
    both = {**renamed, "keys": [IMAGE, LABEL]}
    if kind.__module__ == SPATIAL[0] and "mode" in inspect.signature(kind.__init__).parameters:
        both["mode"] = [step.get("mode", "bilinear"), "nearest"]
    return both


def numbered(labels: Sequence[str]) -> dict[str, str]:
    """Return channel number → label, background first, as recipes and metadata have it."""
    return {str(number): name for number, name in enumerate(("background", *labels))}
