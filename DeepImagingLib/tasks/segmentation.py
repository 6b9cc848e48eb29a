"""Segmentation: how a bundle's last tensor becomes label layers and named segments."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.names import unique_ids
from DeepImagingLib.results import Segment, label_counts
from DeepImagingLib.tasks.terminology import Color, look_up, spread_color

Layers = npt.NDArray[np.unsignedinteger[Any]]
BACKGROUND = 0
PROBABILITY_THRESHOLD = 0.5
BITS = 8
ALL = "all"


@dataclass(frozen=True)
class Argmax:
    """Each voxel gets the channel of the largest value, the first of equals."""


@dataclass(frozen=True)
class Threshold:
    """Each channel is a mask of its own: where its value reaches `value`, or exceeds it if `strict`."""

    value: float
    strict: bool = False


Reducer = Argmax | Threshold
"""What becomes of the channels of a voxel."""


def reducer_for(channels: int, labels: Mapping[int, str], exclusive: bool | None = None) -> Reducer:
    """Return what `decode` does with channels that the bundle leaves as they are."""
    if channels > 1 and _excludes(labels, exclusive):
        return Argmax()
    return Threshold(PROBABILITY_THRESHOLD, strict=True)


class Masks:
    """Masks that may overlap, eight to a byte.

    Args:
        count: How many.
        shape: (I, J, K) of each.
    """

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        self.bits = np.zeros((-(-count // BITS), *shape), np.uint8)
        self._count = count

    def __len__(self) -> int:
        """Return how many masks there are."""
        return self._count

    def __getitem__(self, channel: int) -> npt.NDArray[np.bool_]:
        """Return one mask (I, J, K)."""
        return (self.bits[channel // BITS] & np.uint8(1 << channel % BITS)) != 0

    def put(self, channel: int, mask: npt.NDArray[np.bool_]) -> None:
        """Add one mask (I, J, K), which must have been empty."""
        self.bits[channel // BITS] |= mask.view(np.uint8) << channel % BITS

    def as_picture(self) -> Masks:
        """Return the masks of a volume of one slice (I, J, 1) as those of a picture (I, J)."""
        picture = Masks(self._count, ())
        picture.bits = self.bits[..., 0]
        return picture

    def first_of_each(self) -> Layers:
        """Return the number of the first mask that covers each voxel, 0 where none does (I, J, K)."""
        first = np.zeros(self.bits.shape[1:], _smallest_type(self._count))
        for channel in reversed(range(self._count)):
            first[self[channel]] = channel
        return first


def channels_of(names: Sequence[str], labels: Mapping[int, str]) -> dict[str, int]:
    """Return label name → channel for the labels that are asked for; ("all",) is every one but the background.

    Where no label is spelt so, capital and small letters count as the same.

    Raises:
        InputError: No label has such a name.
    """
    known = {name: channel for channel, name in labels.items()}
    folded = Counter(name.casefold() for name in known)
    alike = {name.casefold(): name for name in known if folded[name.casefold()] == 1}
    names = [name if name in (*known, ALL) else alike.get(name.casefold(), name) for name in names]
    if tuple(names) == (ALL,) and ALL not in known:
        return {name: channel for name, channel in known.items() if not _is_background(name)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"The model has no label {', '.join(map(repr, unknown))}; it has {', '.join(known) or 'none'}."
        )
    return {name: known[name] for name in names}


def decode(
    prediction: npt.NDArray[Any] | Masks, labels: Mapping[int, str], exclusive: bool | None = None
) -> tuple[Layers, tuple[Segment, ...], bool]:
    """Turn the output of a bundle's post-processing into layers.

    Args:
        prediction: (C, I, J, K), or masks. One channel is a label map, or a mask where `labels` names one structure
            only. Of several channels that exclude each other the largest wins; else each is a mask of its own.
        labels: Channel number (or value, for a label map) to name.
        exclusive: Whether channels exclude each other, as the bundle's steps tell. Where they don't tell, channels
            with a background among them do.

    Returns:
        layers (L, I, J, K) unsigned integers, the segments, and whether they exclude each other.
    """
    if len(prediction) == 1:
        return _label_map(prediction[0], labels)
    if _excludes(labels, exclusive):
        winners = prediction.first_of_each() if isinstance(prediction, Masks) else prediction.argmax(axis=0)
        return _exclusive(winners, labels, len(prediction))
    return _overlapping(prediction if isinstance(prediction, Masks) else prediction > PROBABILITY_THRESHOLD, labels)


def _excludes(labels: Mapping[int, str], exclusive: bool | None) -> bool:
    if exclusive is None:
        return _is_background(labels.get(BACKGROUND, "")) or not labels
    return exclusive


def _is_background(name: str) -> bool:
    return name.strip().lower() == "background"


def _label_map(values: npt.NDArray[Any], labels: Mapping[int, str]) -> tuple[Layers, tuple[Segment, ...], bool]:
    """Read a map of values: the bundle's channel numbers, or 0 and 1 where it names a single structure."""
    values = values if values.dtype.kind in "biu" else np.rint(values)
    if len(labels) == 1 and values.max() <= 1 and not _is_background(next(iter(labels.values()))):
        labels = {1: next(iter(labels.values()))}
    return _exclusive(values, labels, 1)


def _exclusive(
    values: npt.NDArray[Any], labels: Mapping[int, str], channels: int
) -> tuple[Layers, tuple[Segment, ...], bool]:
    largest = max(int(values.max()), channels - 1, *labels, 1)
    layer = values if values.dtype.kind in "bu" else np.clip(values, 0, None)
    layer = layer.astype(_smallest_type(largest), copy=False)
    # Channels that the metadata forgot still have a number.
    present = np.flatnonzero(label_counts(layer)[1:]) + 1
    names = {int(v): f"label {v}" for v in (*range(1, channels), *present)} | dict(labels)
    names.pop(BACKGROUND, None)
    ordered = sorted(names.items())
    ids = unique_ids([name for _, name in ordered])
    segments = [make_segment(id_, name, 0, value) for id_, (value, name) in zip(ids, ordered, strict=True)]
    return layer[None], told_apart(segments), True


def _overlapping(
    masks: npt.NDArray[np.bool_] | Masks, labels: Mapping[int, str]
) -> tuple[Layers, tuple[Segment, ...], bool]:
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
        segments.append(make_segment(id_, name, index, channel + 1))
    return np.stack(layers), told_apart(segments), False


def told_apart(segments: Sequence[Segment]) -> tuple[Segment, ...]:
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


def make_segment(id_: str, name: str, layer: int, value: int) -> Segment:
    """Return a segment with the codes and the colour of its name."""
    terminology, color = look_up(name, value)
    return Segment(id_, name, layer, value, color, terminology)
