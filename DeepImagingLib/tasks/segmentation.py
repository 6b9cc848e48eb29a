"""Segmentation: how a bundle's last tensor becomes label layers and named segments."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.results import Segment, label_counts
from DeepImagingLib.tasks.terminology import Color, look_up, spread_color

Layers = npt.NDArray[np.unsignedinteger[Any]]
BACKGROUND = 0
PROBABILITY_THRESHOLD = 0.5


def decode(
    prediction: npt.NDArray[Any], labels: Mapping[int, str], exclusive: bool | None = None
) -> tuple[Layers, tuple[Segment, ...], bool]:
    """Turn the output of a bundle's post-processing into layers.

    Args:
        prediction: (C, I, J, K). One channel is a label map, or a mask where `labels` names one structure only.
            Of several channels that exclude each other the largest wins; else each is a mask of its own.
        labels: Channel number (or value, for a label map) to name.
        exclusive: Whether channels exclude each other, as the bundle's steps tell. Where they don't tell, channels
            with a background among them do.

    Returns:
        layers (L, I, J, K) unsigned integers, the segments, and whether they exclude each other.
    """
    if len(prediction) == 1:
        return _label_map(prediction[0], labels)
    has_background = _is_background(labels.get(BACKGROUND, ""))
    if exclusive or (exclusive is None and (has_background or not labels)):
        return _exclusive(prediction.argmax(axis=0), labels, len(prediction))
    return _overlapping(prediction > PROBABILITY_THRESHOLD, labels)


def _is_background(name: str) -> bool:
    return name.strip().lower() == "background"


def _label_map(values: npt.NDArray[Any], labels: Mapping[int, str]) -> tuple[Layers, tuple[Segment, ...], bool]:
    """Read a map of values: the bundle's channel numbers, or 0 and 1 where it names a single structure."""
    values = np.rint(values)
    if len(labels) == 1 and values.max() <= 1 and not _is_background(next(iter(labels.values()))):
        labels = {1: next(iter(labels.values()))}
    return _exclusive(values, labels, 1)


def _exclusive(
    values: npt.NDArray[Any], labels: Mapping[int, str], channels: int
) -> tuple[Layers, tuple[Segment, ...], bool]:
    largest = max(int(values.max()), channels - 1, *labels, 1)
    layer = np.clip(values, 0, None).astype(_smallest_type(largest))
    # Channels that the metadata forgot still have a number.
    present = np.flatnonzero(label_counts(layer)[1:]) + 1
    names = {int(v): f"label {v}" for v in (*range(1, channels), *present)} | dict(labels)
    names.pop(BACKGROUND, None)
    ordered = sorted(names.items())
    ids = unique_ids([name for _, name in ordered])
    segments = [_segment(id_, name, 0, value) for id_, (value, name) in zip(ids, ordered, strict=True)]
    return layer[None], _told_apart(segments), True


def _overlapping(masks: npt.NDArray[np.bool_], labels: Mapping[int, str]) -> tuple[Layers, tuple[Segment, ...], bool]:
    """Put each mask on the first layer where it covers nothing, as Slicer does to keep layers few."""
    dtype = _smallest_type(len(masks))
    layers: list[npt.NDArray[Any]] = []
    channels = [c for c in range(len(masks)) if not _is_background(labels.get(c, ""))]
    names = [labels.get(channel, f"channel {channel}") for channel in channels]
    segments = []
    for channel, name, id_ in zip(channels, names, unique_ids(names), strict=True):
        mask = masks[channel]
        index = next((i for i, layer in enumerate(layers) if not layer[mask].any()), len(layers))
        if index == len(layers):
            layers.append(np.zeros(mask.shape, dtype))
        layers[index][mask] = channel + 1
        segments.append(_segment(id_, name, index, channel + 1))
    return np.stack(layers), _told_apart(segments), False


def _told_apart(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return the segments with another colour for each whose colour is taken already."""
    taken: set[Color] = set()
    told = []
    for segment in segments:
        free = (spread_color(index) for index in itertools.count(segment.value))
        color = segment.color if segment.color not in taken else next(c for c in free if c not in taken)
        taken.add(color)
        told.append(replace(segment, color=color))
    return tuple(told)


def _smallest_type(largest: int) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16


def _segment(id_: str, name: str, layer: int, value: int) -> Segment:
    terminology, color = look_up(name, value)
    return Segment(id_, name, layer, value, color, terminology)


def unique_ids(names: Sequence[str]) -> list[str]:
    """Return an ASCII id for each name, fit for file names, each once also where file names ignore case."""
    ids: list[str] = []
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        slug = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or "segment"
        taken = {id_.lower() for id_ in ids}
        candidates = (slug if count == 1 else f"{slug}_{count}" for count in itertools.count(1))
        ids.append(next(candidate for candidate in candidates if candidate.lower() not in taken))
    return ids
