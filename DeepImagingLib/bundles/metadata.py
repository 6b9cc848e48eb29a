"""What a bundle's metadata.json says of itself, read leniently: much of it is silent or wrong in the wild."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

TASK_WORDS = {
    "segmentation": r"segment",
    "detection": r"detect",
    "classification": r"classif",
    "landmarks": r"landmark|insertion point",
    "registration": r"registration|spatial transformer",
    "generation": r"generat|synthes",
}
_BY_FORMAT = {"segmentation": "segmentation", "classes": "classification", "classification": "classification"}
_BY_TYPE = {"object": "detection", "tuples": "landmarks"}


DEFAULT_THRESHOLD = 0.5
OF_WEIGHTS = ("hidden", "calibration", "thresholds", "converted_from", "eval_metrics", "training")
"""Keys that tell what was found of the very weights, and nothing of others."""
LIKENESS = "likeness"
"""Key of a classifier's metadata: {"label": the network's last one, "least": 0 to 1}. No key of MONAI's.

That label is no finding, but whether the image is like those of the training; below `least` it isn't.
"""
MAX_NUMBER = 9
"""Digits of a channel's number at most."""


def printable(value: object) -> str:
    """Return a text of the metadata in one line, fit to stand in a file's header: no line ends, no control characters.

    Example:
        >>> printable("left\\nkidney ")
        'left kidney'
    """
    return "".join(c if c.isprintable() else " " for c in str(value)).strip()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def entries(metadata: Mapping[str, Any], side: str) -> Mapping[str, Mapping[str, Any]]:
    """Return `network_data_format.inputs` or `.outputs`; what isn't a mapping is left out."""
    data_format = _mapping(metadata.get("network_data_format"))
    return {str(k): v for k, v in _mapping(data_format.get(side)).items() if isinstance(v, Mapping)}


def task(metadata: Mapping[str, Any]) -> str:
    """Return "segmentation", "detection", "classification", "landmarks", "registration", "generation" or "unknown".

    The outputs' format speaks first, then the words of "task", "name" and "description".
    """
    outputs = entries(metadata, "outputs").values()
    for output in outputs:
        told = _BY_TYPE.get(str(output.get("type"))) or _BY_FORMAT.get(str(output.get("format")))
        if told:
            return told
    for key in ("task", "name", "description"):
        text = str(metadata.get(key, "")).lower()
        for name, words in TASK_WORDS.items():
            if re.search(words, text):
                return name
    return "unknown"


def labels(metadata: Mapping[str, Any], pred_key: str) -> dict[int, str]:
    """Return the output's channel numbers with their names, in order; empty where the metadata has none."""
    outputs = entries(metadata, "outputs")
    chosen = outputs.get(pred_key) or next(iter(outputs.values()), {})
    return numbered(chosen.get("channel_def"), "label")


def channel_count(metadata: Mapping[str, Any], pred_key: str) -> int:
    """Return the number of the output's channels, 0 where the metadata is silent."""
    outputs = entries(metadata, "outputs")
    number = (outputs.get(pred_key) or next(iter(outputs.values()), {})).get("num_channels")
    return max(number if isinstance(number, int) else 0, *(n + 1 for n in labels(metadata, pred_key)), 0)


def likeness_label(metadata: Mapping[str, Any]) -> str:
    """Return the label that is no finding, but tells whether an image is like those of the training; "" without one."""
    return printable(_mapping(metadata.get(LIKENESS)).get("label", ""))


def numbered(channel_def: object, kind: str) -> dict[int, str]:
    """Return a `channel_def` by number; entries that have no number are left out.

    Names are printable; one that is empty becomes its `kind` and number ("label 3").
    """
    numbers = {int(k): name for k, name in _mapping(channel_def).items() if _is_number(str(k))}
    return {number: printable(numbers[number]) or f"{kind} {number}" for number in sorted(numbers)}


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= MAX_NUMBER


def channels(metadata: Mapping[str, Any], image_keys: Sequence[str]) -> tuple[str, ...]:
    """Return the names of what a user gives: one for each channel of the one image, or one for each image."""
    if len(image_keys) > 1:
        return tuple(image_keys)
    inputs = entries(metadata, "inputs")
    chosen = inputs.get(image_keys[0]) or next(iter(inputs.values()), {})
    return tuple(numbered(chosen.get("channel_def"), "channel").values()) or (image_keys[0],)


def first_input(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first input's entry, empty where there is none."""
    return next(iter(entries(metadata, "inputs").values()), {})


def input_channels(metadata: Mapping[str, Any]) -> int:
    """Return how many channels the network's first input has, 1 where the metadata are silent."""
    told = first_input(metadata)
    number = told.get("num_channels")
    return max(number if isinstance(number, int) else 1, len(numbered(told.get("channel_def"), "channel")))


def patch(metadata: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the size of the patches that a network for pictures sees of larger ones; None where it sees the whole."""
    told = first_input(metadata)
    shape = told.get("spatial_shape")
    if told.get("is_patch_data") is not True or not isinstance(shape, list) or len(shape) != 2:
        return None
    return tuple(shape) if all(isinstance(n, int) and n > 0 for n in shape) else None


def shape_length(metadata: Mapping[str, Any]) -> int | None:
    """Return the number of spatial axes of the first input, where the metadata tells."""
    shape = first_input(metadata).get("spatial_shape")
    return len(shape) if isinstance(shape, list) and len(shape) in (2, 3) else None


def value_range(metadata: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the range of values the network takes, where the metadata tells."""
    limits = first_input(metadata).get("value_range")
    plain = isinstance(limits, list) and all(
        isinstance(x, float) or (isinstance(x, int) and abs(x) < 1e300) for x in limits
    )
    if isinstance(limits, list) and plain and len(limits) == 2:
        return float(limits[0]), float(limits[1])
    return None


def score_threshold(metadata: Mapping[str, Any]) -> float:
    """Return `score_threshold`: the score from which a detector's box counts as a finding; 0.5 without one.

    No key of MONAI's: stock MONAI passes over it.
    """
    told = metadata.get("score_threshold")
    return float(told) if isinstance(told, (int, float)) and 0 <= told <= 1 else DEFAULT_THRESHOLD


def folds(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return `folds`: files of further weights for the same network, relative to the bundle's folder.

    No key of MONAI's: stock MONAI passes over it and runs the weights that the config loads alone.
    """
    listed = metadata.get("folds")
    return tuple(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else ()
