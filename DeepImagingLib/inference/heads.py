"""Call a detector's network on windows, and add its maps up level by level, keeping only what may become a box.

RetinaNetDetector (monai.apps.detection) puts the maps of all windows together before it looks at any score: gigabytes
for a chest. What it would look at is told here as soon as no window to come can change it, and the rest is let go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepImagingLib.errors import BundleError
from DeepImagingLib.inference.network import Caller
from DeepImagingLib.inference.plan import FLOAT
from DeepImagingLib.inference.sweep import KEPT, Sweep

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.inference.windows import Shape, Windows

MOST_CANDIDATES = 10_000
"""Anchors kept of a level, however many a bundle asks for: what follows takes time with their square."""

MOST_NUMBERS = 16
"""Further numbers of an anchor; maps of more are features that the network happens to return."""


@dataclass
class HeadCaller(Caller):
    """A detector's network; the maps of a window come as one row of numbers.

    Attributes:
        keys: Of the class scores and of the box codes in the network's output.
        anchors: Of a place.
        maps: Shape (K, I, J, K) of each map of a window, all scores before all boxes, and those before what further
            outputs give; this and what follows is known after the first call.
        further: Names of outputs that tell more of each anchor.
        dropped: Names of outputs that aren't on the anchors.
    """

    keys: tuple[str, str] = ("", "")
    anchors: int = 1
    maps: tuple[tuple[int, ...], ...] = field(default=())
    further: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def levels(self) -> int:
        """How many levels each output has."""
        return len(self.maps) // (2 + len(self.further))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the further numbers of an anchor: that of their output, counted from 0 where it has several."""
        counts = [channels // self.anchors for channels, *_ in self.maps[2 * self.levels :: self.levels or 1]]
        named = zip(self.further, counts, strict=True)
        return tuple(f"{name}_{n}" if count > 1 else name for name, count in named for n in range(count))

    def _taken(self, output: Any, seen: torch.Tensor) -> torch.Tensor:
        import torch

        found = _listed(output, self.keys)
        further = _further(output, self.keys, found[: len(found) // 2], self.anchors)
        self.further = tuple(name for name, levels in further.items() if levels)
        self.dropped = tuple(name for name, levels in further.items() if not levels)
        found += chain(*further.values())
        flat = self.windows.flat
        shapes = [[*each.shape[1:]] for each in found]
        for shape in shapes if flat is not None else ():
            shape.insert(flat + 1, 1)  # type: ignore[operator]  # mypy loses that it isn't None
        self.maps = tuple(tuple(shape) for shape in shapes)
        return torch.cat([each.flatten(1) for each in found], 1)


def _listed(output: Any, keys: tuple[str, str]) -> list[torch.Tensor]:
    """Return the maps in MONAI's order: the scores of all levels, then the boxes."""
    import torch

    if isinstance(output, dict):
        parts = [output[key] for key in keys]
        output = [each for part in parts for each in ([part] if isinstance(part, torch.Tensor) else part)]
    if not isinstance(output, (list, tuple)) or len(output) % 2 or not all(isinstance(m, torch.Tensor) for m in output):
        raise BundleError("The detector's network doesn't answer with maps of scores and boxes; check its settings.")
    return list(output)


def _further(
    output: Any, keys: tuple[str, str], scores: Sequence[torch.Tensor], anchors: int
) -> dict[str, list[torch.Tensor]]:
    """Return what else the network tells of each anchor, level by level; no maps of what isn't on the anchors."""
    if not isinstance(output, dict):
        return {}
    return {str(name): _on_anchors(maps, scores, anchors) for name, maps in output.items() if name not in keys}


def _on_anchors(maps: Any, scores: Sequence[torch.Tensor], anchors: int) -> list[torch.Tensor]:
    """Return the maps of an output as a list, an empty one where its grids or channels aren't those of the anchors."""
    import torch

    levels = [maps] if isinstance(maps, torch.Tensor) else list(maps) if isinstance(maps, (list, tuple)) else []
    tensors = [each for each in levels if isinstance(each, torch.Tensor) and each.is_floating_point()]
    if len(tensors) < len(levels) or [*map(_grid_of, tensors)] != [*map(_grid_of, scores)]:
        return []
    channels = {each.shape[1] for each in tensors}
    counts = {divmod(count, anchors) for count in channels}
    return tensors if counts <= {(count, 0) for count in range(1, MOST_NUMBERS + 1)} and len(counts) == 1 else []


def _grid_of(maps: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of maps (B, K, ...) but for their channels."""
    return (*maps.shape[:1], *maps.shape[2:])


def grids(windows: Windows, maps: Sequence[Sequence[int]]) -> list[Windows]:
    """Return the windows over the grid of each map, as `monai.inferers.sliding_window_inference` lays them.

    Its weights of a map come by nearest neighbour from those of the map before, and so do these.
    """
    import torch

    weights = windows.importance()
    laid = []
    for _, i, j, k in maps:
        shape = (i, j, k)
        if tuple(weights.shape) != shape:
            weights = torch.nn.functional.interpolate(weights[None, None], shape, mode="nearest-exact")[0, 0]
        scale = [n / w for n, w in zip(shape, windows.window, strict=True)]
        laid.append(_scaled(windows, shape, scale, weights))
    return laid


def _scaled(windows: Windows, shape: Shape, scale: list[float], weights: torch.Tensor) -> Windows:
    def rounded(values: Sequence[int], way: type[int] | Any = int) -> Any:
        return tuple(way(value * z) for value, z in zip(values, scale, strict=True))

    whole = [n - a for n, a in zip(windows.size, windows.after, strict=True)]  # up to the end of the image
    size, before = rounded(windows.size), rounded(windows.before, round)
    after = tuple(n - stop for n, stop in zip(size, rounded(whole, round), strict=True))
    starts = tuple(rounded(start) for start in windows.starts)
    return replace(windows, size=size, window=shape, before=before, after=after, starts=starts, weights=weights)


def bytes_of_sums(windows: Windows, maps: Sequence[Sequence[int]], levels: int) -> int:
    """Return the bytes that adding up takes, with a copy of finished scores."""
    total = 0
    laid = grids(windows, maps[: 2 * levels])
    for number, (channels, *_) in enumerate(maps):
        grid = laid[number if number < len(laid) else number % levels]
        depth = grid.size[grid.axis]
        planes = min(grid.window[grid.axis] + KEPT, depth)
        copies = 2 if number < levels else 1  # only scores are looked at as a whole
        total += planes * (prod(grid.size) // depth) * (copies * channels + 1) * FLOAT
    return total


@dataclass(frozen=True)
class Candidates:
    """Anchors of one level that may become boxes.

    Attributes:
        scores: (N, C), a number a class, as the network gives it.
        codes: (N, 2 D) of the boxes relative to their anchors.
        places: (N, 3) where they are in the level's grid.
        anchors: (N,) which of a place's anchors.
        more: (N, F) further numbers of the anchor.
        grid: (I, J, K) of the level.
    """

    scores: torch.Tensor
    codes: torch.Tensor
    places: torch.Tensor
    anchors: torch.Tensor
    more: torch.Tensor
    grid: Shape


class Level:
    """Adds up one level's maps of scores and boxes, and keeps the highest scores.

    Args:
        scores, boxes: Windows over the two maps.
        anchors: Of a place.
        classes: How many.
        least: The network's number above which a score matters.
        most: How many anchors may.
        device: Where it is added up.
        shown: Classes whose highest number at each place is kept, all over the grid.
        further: Numbers of an anchor beside its scores and its box.
    """

    def __init__(
        self,
        scores: Windows,
        boxes: Windows,
        anchors: int,
        classes: int,
        least: float,
        most: int,
        device: torch.device,
        shown: Sequence[int] = (),
        further: int = 0,
    ) -> None:
        self._windows = scores
        self._anchors, self._classes = anchors, classes
        self._least, self._asked, self._most = least, most, min(most, MOST_CANDIDATES)
        self._sums = [
            Sweep(scores, anchors * classes, _as_it_is, self._score, device),
            *([Sweep(scores, anchors * further, _as_it_is, self._add_more, device, finite=False)] if further else []),
            Sweep(boxes, anchors * 2 * (3 if scores.flat is None else 2), _as_it_is, self._box, device),
        ]
        self._shown = list(shown)
        self.maps = np.zeros((len(self._shown), *self.grid), np.float32)
        self._done = self._seen = self._seen_waiting = 0
        self._waiting: tuple[torch.Tensor, ...] = ()
        self._kept: list[tuple[torch.Tensor, ...]] = []

    def move(self, device: torch.device) -> None:
        """Go on adding up elsewhere."""
        for sums in self._sums:
            sums.move(device)

    def adders(
        self, number: int, scores: torch.Tensor, boxes: torch.Tensor, further: Sequence[torch.Tensor] = ()
    ) -> list[partial[None]]:
        """Return what adds the maps (K, I, J, K) of a window, step by step; each may be called again after an error."""
        start = self._windows.starts[number]
        maps = [scores, *([self._joined(further)] if further else []), boxes]
        return [partial(sums.add, start, each) for sums, each in zip(self._sums, maps, strict=True)]

    def _joined(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return one map (A F, I, J, K) of several (A F1, I, J, K), all of an anchor side by side."""
        import torch

        return torch.cat([each.view(self._anchors, -1, *each.shape[1:]) for each in maps], 1).flatten(0, 1)

    def enders(self) -> list[partial[None]]:
        """Return what finishes all, step by step."""
        return [partial(sums.end) for sums in self._sums]

    @property
    def candidates(self) -> Candidates:
        """What was kept."""
        scores, codes, places, anchors, more = self._best()
        return Candidates(scores, codes, places, anchors, more, self.grid)

    @property
    def left_out(self) -> int:
        """How many anchors the bundle would have looked at beyond what is kept of a level."""
        return max(min(self._seen, self._asked) - self._most, 0)

    @property
    def grid(self) -> Shape:
        """Shape of the grid over the image, without what was padded."""
        w = self._windows
        i, j, k = (n - b - a for n, b, a in zip(w.size, w.before, w.after, strict=True))
        return i, j, k

    def _score(self, values: torch.Tensor, first: int, stop: int) -> None:
        """Choose among the planes (A C, n0, n1, n2) that are finished now."""
        grid, axis = self._windows, self._windows.axis
        low, high = max(self._done, first, grid.before[axis]), min(stop, grid.size[axis] - grid.after[axis])
        bounds = [(b, n - a) for b, a, n in zip(grid.before, grid.after, grid.size, strict=True)]
        bounds[axis] = (low, max(high, low))
        offset = [first * (index == axis) for index in range(3)]
        box = tuple(slice(start - o, end - o) for (start, end), o in zip(bounds, offset, strict=True))
        split = values.view(self._anchors, self._classes, *values.shape[1:])[:, :, box[0], box[1], box[2]]
        if self._shown and split.numel():
            starts = [start - b for (start, _), b in zip(bounds, grid.before, strict=True)]
            place = tuple(slice(start, start + n) for start, n in zip(starts, split.shape[2:], strict=True))
            self.maps[:, place[0], place[1], place[2]] = split[:, self._shown].amax(0).cpu().numpy()
        highest = split.amax(1) if split.numel() else split[:, 0]
        found = (highest > self._least).nonzero()
        self._seen_waiting = len(found)
        if len(found) > self._most:
            found = found[highest[tuple(found.T)].topk(self._most).indices]
        scores = split.movedim(1, -1)[tuple(found.T)]
        places = found[:, 1:] + found.new_tensor([start for start, _ in bounds])
        self._waiting = (scores, places, found[:, 0], scores[:, :0])

    def _add_more(self, values: torch.Tensor, first: int, stop: int) -> None:
        """Take the further numbers of those chosen from planes (A F, n0, n1, n2)."""
        self._waiting = (*self._waiting[:3], self._of_chosen(values, first))

    def _of_chosen(self, values: torch.Tensor, first: int) -> torch.Tensor:
        """Return the numbers (N, K) of the anchors that were chosen, of planes (A K, n0, n1, n2)."""
        _, places, anchor, _ = self._waiting
        index = [places[:, axis] - first * (axis == self._windows.axis) for axis in range(3)]
        split = values.view(self._anchors, -1, *values.shape[1:]).movedim(1, -1)
        return split[(anchor, index[0], index[1], index[2])]

    def _box(self, values: torch.Tensor, first: int, stop: int) -> None:
        """Take the boxes of those chosen from planes (A 2D, n0, n1, n2), and leave the best of all so far."""
        scores, places, anchor, more = self._waiting
        codes = self._of_chosen(values, first)
        places = places - places.new_tensor(self._windows.before)
        self._kept.append(tuple(part.cpu() for part in (scores, codes, places, anchor, more)))
        self._kept = [self._best()]
        self._seen += self._seen_waiting
        self._done = stop

    def _best(self) -> tuple[torch.Tensor, ...]:
        import torch

        parts = [torch.cat(part) for part in zip(*self._kept, strict=True)]
        if len(parts[0]) > self._most:
            best = parts[0].amax(1).topk(self._most).indices.sort().values
            parts = [part[best] for part in parts]
        return tuple(parts)


def _as_it_is(values: torch.Tensor) -> torch.Tensor:
    return values
