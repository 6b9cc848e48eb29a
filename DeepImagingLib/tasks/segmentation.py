"""Segmentation: how a bundle's last tensor becomes label layers and named segments."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.results import Segment
from DeepImagingLib.tasks.terminology import look_up

Layers = npt.NDArray[np.unsignedinteger[Any]]
BACKGROUND = 0
PROBABILITY_THRESHOLD = 0.5


def decode(prediction: npt.NDArray[Any], labels: Mapping[int, str]) -> tuple[Layers, tuple[Segment, ...], bool]:
    """Turn the output of a bundle's post-processing into layers.

    Args:
        prediction: (C, I, J, K). One channel is a label map, or a mask where `labels` names one structure only.
            Several channels with a background exclude each other and the largest wins; without a background
            each is a mask of its own, which may overlap the others.
        labels: Channel number (or value, for a label map) to name.

    Returns:
        layers (L, I, J, K) unsigned integers, the segments, and whether they exclude each other.
    """
    if prediction.shape[0] > 1 and not _has_background(labels):
        return _overlapping(prediction > PROBABILITY_THRESHOLD, labels)
    if prediction.shape[0] > 1:
        values = prediction.argmax(axis=0)
    elif len(labels) < 2:
        labels = {1: next(iter(labels.values()), "segment")}
        values = prediction[0] > PROBABILITY_THRESHOLD
    else:
        values = np.rint(prediction[0])
    return _exclusive(values, labels, prediction.shape[0])


def _has_background(labels: Mapping[int, str]) -> bool:
    return labels.get(BACKGROUND, "background").strip().lower() == "background"


def _exclusive(
    values: npt.NDArray[Any], labels: Mapping[int, str], channels: int
) -> tuple[Layers, tuple[Segment, ...], bool]:
    names = dict(labels)
    for value in range(channels):  # channels that the metadata forgot still have a number
        names.setdefault(value, f"label {value}")
    for value in np.unique(values.astype(np.int64)):
        names.setdefault(int(value), f"label {int(value)}")
    names.pop(BACKGROUND, None)
    layer = values.astype(_smallest_type(max(names, default=1)))
    ordered = sorted(names.items())
    ids = unique_ids([name for _, name in ordered])
    segments = tuple(_segment(id_, name, 0, value) for id_, (value, name) in zip(ids, ordered, strict=True))
    return layer[None], segments, True


def _overlapping(masks: npt.NDArray[np.bool_], labels: Mapping[int, str]) -> tuple[Layers, tuple[Segment, ...], bool]:
    """Put each mask on the first layer where it covers nothing, as Slicer does to keep layers few."""
    dtype = _smallest_type(len(masks))
    layers: list[npt.NDArray[Any]] = []
    names = [labels.get(channel, f"channel {channel}") for channel in range(len(masks))]
    segments = []
    for channel, (id_, mask) in enumerate(zip(unique_ids(names), masks, strict=True)):
        index = next((i for i, layer in enumerate(layers) if not layer[mask].any()), len(layers))
        if index == len(layers):
            layers.append(np.zeros(mask.shape, dtype))
        layers[index][mask] = channel + 1
        segments.append(_segment(id_, names[channel], index, channel + 1))
    return np.stack(layers), tuple(segments), False


def _smallest_type(largest: int) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16


def _segment(id_: str, name: str, layer: int, value: int) -> Segment:
    terminology, color = look_up(name, value)
    return Segment(id_, name, layer, value, color, terminology)


def unique_ids(names: Sequence[str]) -> list[str]:
    """Return an ASCII id for each name, fit for file names, each once."""
    ids: list[str] = []
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        slug = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or "segment"
        candidates = (slug if count == 1 else f"{slug}_{count}" for count in itertools.count(1))
        ids.append(next(candidate for candidate in candidates if candidate not in ids))
    return ids
