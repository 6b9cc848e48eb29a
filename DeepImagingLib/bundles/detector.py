"""The detector of a bundle: where its config has it, and the settings that calls in it make, read as data.

A config in the style of MONAI's `lung_nodule_ct_detection` sets its detector up by expressions such as
"$@detector.set_box_selector_parameters(score_thresh=0.02)". They are never evaluated: their arguments become values of
the config, judged and computed like all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from DeepImagingLib.bundles.expressions import UnsafeExpression, call_arguments
from DeepImagingLib.bundles.reader import Reader
from DeepImagingLib.bundles.references import Refusal, join
from DeepImagingLib.bundles.repairs import DISABLED, TARGET, Note, is_off, step_of
from DeepImagingLib.errors import BundleError

if TYPE_CHECKING:
    from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector

SETTINGS = "detector settings"
"""Under this key the settings are put beside the config's own."""
FORCED = "force_sliding_window"
GENERATOR = "anchor_generator"
SHAPES = ("base_anchor_shapes", "sizes")
"""What MONAI's two anchor generators call the shapes they are given."""
SETTERS: dict[str, tuple[str, ...]] = {
    "set_box_coder_weights": ("weights",),
    "set_box_selector_parameters": (
        "score_thresh",
        "topk_candidates_per_level",
        "nms_thresh",
        "detections_per_img",
        "apply_sigmoid",
    ),
    "set_sliding_window_inferer": (
        "roi_size",
        "sw_batch_size",
        "overlap",
        "mode",
        "sigma_scale",
        "padding_mode",
        "cval",
    ),
}
"""The methods of MONAI's detector whose arguments matter to a run, in their order; devices are the road's word."""
OWN_STEPS = frozenset(
    ("ClipBoxToImage", "AffineBoxToWorldCoordinate", "ConvertBoxMode", "ConvertBoxToStandardMode")
    + ("DeleteItems", "SelectItems", "ToDevice", "EnsureType")
)
"""What a detector's post-processing usually does, in whose place the road has its own."""
_SETTER = re.compile(r"\$\s*@(\w+)\s*\.\s*(\w+)\s*\(.*\)\s*", re.DOTALL)


class _Builds(Protocol):
    def get(self, ident: str) -> Any: ...


@dataclass(frozen=True)
class Detector:
    """What a detector is made of.

    Attributes:
        parts: MONAI's detector with all its settings; its network is that of the pipeline.
        in_windows: Whether also an image smaller than a window is given in windows.
    """

    parts: RetinaNetDetector
    in_windows: bool


def detector_key(config: Mapping[str, Any]) -> str:
    """Return the key under which a config has its RetinaNetDetector, "" where there is none."""
    found = (key for key, value in config.items() if isinstance(value, dict) and _is_detector(value))
    return next(found, "")


def _is_detector(value: Mapping[str, Any]) -> bool:
    return str(value.get(TARGET, "")).rpartition(".")[2] == "RetinaNetDetector"


def with_settings(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the config with the settings of the detector at `key` as plain values and expressions under `SETTINGS`.

    Raises:
        Refusal: A call can't be read.
    """
    inferer = config.get("inferer")
    settings: dict[str, Any] = {FORCED: inferer.get(FORCED, False) if isinstance(inferer, dict) else False}
    settings[GENERATOR] = _shapes(config, key)
    for ident, method, text in _setters(config, "", key):
        try:
            values, named = call_arguments(text)
        except UnsafeExpression as error:
            raise Refusal(ident, f"asks for {error}") from error
        given = dict(zip(SETTERS[method], values)) | named
        settings[method] = {name: f"${given[name]}" for name in SETTERS[method] if name in given}
    return {**config, SETTINGS: settings}


def _shapes(config: Mapping[str, Any], key: str) -> list[str]:
    """Return references to the shapes of the anchors of the detector at `key`."""
    ident, generator = join(key, GENERATOR), config[key].get(GENERATOR)
    if isinstance(generator, str) and generator.startswith("@"):
        ident, generator = generator[1:], config.get(generator[1:])
    return [f"@{join(ident, name)}" for name in SHAPES if isinstance(generator, dict) and name in generator]


def _setters(value: Any, ident: str, key: str) -> Iterator[tuple[str, str, str]]:
    """Yield id, method and text of each call that sets the detector up, wherever it stands."""
    if isinstance(value, (dict, list)):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _setters(item, join(ident, name), key)
    elif isinstance(value, str) and (found := _SETTER.fullmatch(value)) and found[1] == key and found[2] in SETTERS:
        yield ident, found[2], value.strip()[1:]


def resample_always(reader: Reader, note: Note) -> None:
    """Switch Spacingd on where a config leaves it to the user to say that a scan has the right spacing already."""
    steps = reader.steps("preprocessing", lambda step: step_of(step) == "Spacing")
    off = [step for ident, step in steps if is_off(step) or reader.plain(step.get(DISABLED), join(ident, DISABLED))]
    if off and len(off) == len(steps):
        del off[0][DISABLED]
        note(
            "The config leaves Spacingd out for scans that have its spacing; it was put in, and changes none of these."
        )


def skipped_steps(config: Mapping[str, Any], note: Note) -> None:
    """Note the steps of post-processing that aren't done."""
    steps = Reader(config, "").steps("postprocessing") if "postprocessing" in config else []
    for name in dict.fromkeys(step_of(step) for _, step in steps):
        if name.removesuffix("d") not in OWN_STEPS and name not in OWN_STEPS:
            note(f"{name} of the post-processing was left out: of a detector, the boxes are taken as they are.")


def build_detector(builder: _Builds, key: str) -> Detector:
    """Make the detector at `key` with its settings.

    Raises:
        BundleError: It can't be made, or a setting doesn't fit.
    """
    from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector

    settings = builder.get(SETTINGS)
    if any(map(_is_empty, settings[GENERATOR])):
        raise _no_anchors(key)
    parts = builder.get(key)
    if type(parts) is not RetinaNetDetector:
        raise BundleError(f"`{key}` is a {type(parts).__name__}, expected MONAI's RetinaNetDetector.")
    for method in SETTERS:
        if method in settings:
            _set(parts, method, settings[method])
    if not parts.num_anchors_per_loc:
        raise _no_anchors(key)
    return Detector(parts, bool(settings[FORCED]))


def _is_empty(shapes: Any) -> bool:
    """Tell whether there is nothing in a list, or in one of the lists in it; MONAI's own error names no anchors."""
    return isinstance(shapes, (list, tuple)) and (not shapes or any(map(_is_empty, shapes)))


def _no_anchors(key: str) -> BundleError:
    return BundleError(f"The detector at `{key}` has no anchors; give its generator a shape for each level.")


def _set(parts: RetinaNetDetector, method: str, arguments: Mapping[str, Any]) -> None:
    try:
        getattr(parts, method)(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise BundleError(f"The detector can't take what its config gives to `{method}`: {reason}.") from error
