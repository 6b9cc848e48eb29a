"""What a training takes over from a bundle: its network for other labels, its preprocessing, its window."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from DeepImagingLib.bundles.reader import Reader
from DeepImagingLib.errors import BundleError

if TYPE_CHECKING:
    from DeepImagingLib.bundles import Bundle

INPUTS = ("in_channels", "n_input_channels")
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
    settings = settings_of(bundle, "network_def", "network")
    name = next((key for key in OUTPUTS if settings.get(key) == len(bundle.labels)), None)
    if name is None:
        raise BundleError(
            f"The network of {bundle.name} doesn't say in one of {', '.join(OUTPUTS)} how many outputs it has; "
            "begin from another bundle or from scratch."
        )
    return {**settings, name: outputs}


def input_channels(bundle: Bundle) -> int:
    """Return how many channels the network's input has."""
    settings = settings_of(bundle, "network_def", "network")
    told = bundle.input_channels if bundle.classifies else len(bundle.channels)
    return next((int(settings[key]) for key in INPUTS if isinstance(settings.get(key), int)), told)


def patch_shape(bundle: Bundle) -> list[int]:
    """Return the shape of the bundle's windows.

    Raises:
        BundleError: They have no fixed shape.
    """
    shape = settings_of(bundle, "inferer").get("roi_size")
    if not isinstance(shape, (list, tuple)) or not all(isinstance(side, int) and side > 0 for side in shape):
        raise BundleError(f"The windows of {bundle.name} have no fixed shape; begin from scratch, or set `patch`.")
    return list(shape)


def window_settings(bundle: Bundle | None, patch: Sequence[int]) -> dict[str, Any]:
    """Return the settings of the inferer: the bundle's, or windows of a shape with a quarter of overlap."""
    own = settings_of(bundle, "inferer") if bundle else {}
    if str(own.get("_target_", "")).endswith("SlidingWindowInferer"):
        return {key: value for key, value in {**own, "roi_size": list(patch)}.items() if key != "device"}
    windows = {"roi_size": list(patch), "sw_batch_size": 1, "overlap": 0.25, "mode": "gaussian"}
    return {"_target_": "SlidingWindowInferer", **windows, "padding_mode": "replicate"}


def settings_of(bundle: Bundle, *keys: str) -> dict[str, Any]:
    """Return the settings of the first of the components that there is; what is neither plain nor one is left."""
    key = next((key for key in keys if isinstance(bundle.config.get(key), dict)), None)
    return setting_of(bundle, key) if key else {}


def setting_of(bundle: Bundle, *path: str) -> Any:
    """Return what stands at a place in the config as plain values; what it refers to stands where that is named."""
    value: Any = bundle.config
    for key in path:
        value = value[key]
    return _plain(value, "::".join(path), bundle.config, Reader(bundle.config, str(bundle.path)))


def _plain(value: Any, ident: str, config: Mapping[str, Any], reader: Reader) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one, f"{ident}::{key}", config, reader) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, f"{ident}::{number}", config, reader) for number, one in enumerate(value)]
    if not (isinstance(value, str) and value[:1] in ("@", "$")):
        return value
    if value[0] == "@" and isinstance(config.get(value[1:]), (dict, list)):
        return _plain(config[value[1:]], value[1:], config, reader)
    found = reader.plain(value, ident)
    is_json = found is None or isinstance(found, (bool, int, float, str, list, tuple, dict))
    return found if is_json or "@" in value else value  # such as "$torch.float32", which is itself wherever it stands


def case_transforms(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the bundle's preprocessing, for labels beside the image: what moves the one moves the other.

    Raises:
        BundleError: The preprocessing is no list of MONAI's transforms.
    """
    listed = settings_of(bundle, "preprocessing").get("transforms")
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
    """Return output number → label, as recipes and metadata have it."""
    return {str(number): name for number, name in enumerate(labels)}
