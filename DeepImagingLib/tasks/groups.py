"""Groups: segments that are unions of exclusive labels, such as all bones beside the spine and the ribs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from DeepImagingLib.files.names import unique_ids
from DeepImagingLib.results import Segment
from DeepImagingLib.tasks.segmentation import Layers, make_segment, told_apart

Groups = Mapping[str, Sequence[str]]


def add_groups(layers: Layers, segments: Sequence[Segment], groups: Groups) -> tuple[Layers, tuple[Segment, ...]]:
    """Return layers and segments with those of the groups behind them.

    Args:
        layers: (1, I, J, K) exclusive labels.
        segments: Theirs.
        groups: Names of groups, with the names of their labels. Groups that have no label in common share a layer.
    """
    if not groups:
        return layers, tuple(segments)
    shares = _layers_of(groups)
    # Row: layer; column: a label's value; entry: what stands for it in that layer.
    table = np.zeros((1 + len(shares), np.iinfo(layers.dtype).max + 1), layers.dtype)
    table[0] = np.arange(table.shape[1])
    found = {}
    for layer, names in enumerate(shares, start=1):
        for value, name in enumerate(names, start=1):
            table[layer, [s.value for s in segments if s.name in groups[name]]] = value
            found[name] = layer, value
    ids = unique_ids([*(s.id for s in segments), *groups])[len(segments) :]
    made = [make_segment(id_, name, *found[name]) for id_, name in zip(ids, groups, strict=True)]
    return _looked_up(layers[0], table), told_apart([*segments, *made])


def hide(segments: Sequence[Segment], names: Collection[str]) -> tuple[Segment, ...]:
    """Return the segments; those of these names are not shown by default."""
    return tuple(replace(segment, shown=segment.name not in names) for segment in segments)


def layers_for(groups: Groups) -> int:
    """Return how many layers `add_groups` adds."""
    return len(_layers_of(groups))


def _layers_of(groups: Groups) -> list[list[str]]:
    """Return the names of the groups of each layer: each on the first where none has a label of its."""
    shares: list[list[str]] = []
    for name, labels in groups.items():
        free = (share for share in shares if all(set(labels).isdisjoint(groups[other]) for other in share))
        share = next(free, None)
        if share is None:
            shares.append(share := [])
        share.append(name)
    return shares


def _looked_up(labels: Layers, table: Layers) -> Layers:
    """Return (L, I, J, K) from labels (I, J, K), plane by plane: numpy makes 64-bit numbers of what it looks up."""
    layers = np.empty((len(table), *labels.shape), labels.dtype)
    for index, plane in enumerate(labels):
        np.take(table, plane, axis=1, out=layers[:, index], mode="clip")
    return layers
