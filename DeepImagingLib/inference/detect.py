"""From images to boxes in the grid of the input: windows, candidates, one suppression of overlaps, and back."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError, InputError
from DeepImagingLib.inference.answer import Answer
from DeepImagingLib.inference.fitting import fit
from DeepImagingLib.inference.frame import Frame
from DeepImagingLib.inference.heads import MOST_CANDIDATES, HeadCaller, Level, grids
from DeepImagingLib.inference.heatmaps import heatmap
from DeepImagingLib.inference.ladder import Way
from DeepImagingLib.inference.loop import Loop
from DeepImagingLib.inference.memory import release_pinned
from DeepImagingLib.inference.plan import FLOAT, Plan, limits
from DeepImagingLib.inference.predict import told_plainly
from DeepImagingLib.inference.preparing import foresee_preparing
from DeepImagingLib.inference.preprocess import preprocess
from DeepImagingLib.inference.selection import Selected, select, smallest_anchor

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle, Pipeline
    from DeepImagingLib.bundles.detector import Detector
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.options import Options

log = logging.getLogger(__name__)

THICK = 4.0
"""From so many times the model's voxel on, a voxel of the scan is worth a note."""
ROUNDING = 1e-3
"""What spacings in files are off by."""
FEW = 3
"""So many slices are too few for a detector of volumes."""


@dataclass(frozen=True)
class Boxes(Answer):
    """What a detector says of an image.

    Attributes:
        corners: (N, 6) in voxels of the image, the lower corner first; whole numbers are centres. The highest score
            is the first.
        scores: (N,).
        classes: (N,) numbers of the network's classes, from 0.
        more: Name to (N,) of what else the network tells of each box, raw; what isn't a number is NaN.
        heatmaps: Class to its scores (I, J, K) at the voxels of the image, float32, of those that were asked for.
    """

    corners: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    more: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    heatmaps: Mapping[int, npt.NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Detecting:
    """A run of a bundle that finds boxes.

    Attributes:
        bundle, pipeline, images, device, monitor, options: As `predict` takes them.
        shown: Classes wanted as heatmaps.
    """

    bundle: Bundle
    pipeline: Pipeline
    images: Mapping[str, MetaTensor]
    device: torch.device
    monitor: Monitor
    options: Options
    shown: Sequence[int] = ()

    def boxes(self) -> Boxes:
        """Run it; errors as of `predict`.

        With the same weights the boxes are those of MONAI's RetinaNetDetector, before they go into the input's grid.
        """
        with self._told_plainly():
            ready = self._ready()
            with self.monitor.stage("Network"):
                levels, way = ready.go(self.monitor, self.shown)
            with self.monitor.stage("Post-processing"):
                return self._found(ready, levels, way)

    def plan(self) -> Plan:
        """Return how it will go, without running it but for one small window; errors as of `predict`."""
        with self._told_plainly():
            return self._ready().plan

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        import torch

        with told_plainly(self.bundle, self.device), torch.inference_mode():
            yield

    @property
    def _shape(self) -> tuple[int, ...]:
        """Shape (I, J, K) of the input."""
        return (*next(iter(self.images.values())).shape[1:], 1)[:3]

    def _ready(self) -> _Ready:
        """Preprocess, choose windows that fit, and plan; raises MemoryLimitError where none does."""
        detector = self.pipeline.detector
        if detector is None:
            raise BundleError(f"The bundle {self.bundle.name!r} has no detector; it can't find boxes.")
        if self.options.tta:
            raise InputError("Detectors aren't run mirrored as well; leave tta out.")
        room = limits(self.device, self.options.memory_limit)
        beside = foresee_preparing(self.pipeline.preprocessing, self.images, room[1])
        with self.monitor.stage("Preprocessing"):
            prepared = preprocess(self.pipeline.preprocessing, self.images, self.monitor)[self.bundle.input_key]
        frame = Frame.between(prepared, next(iter(self.images.values())))
        size = tuple(prepared.shape[1:])
        image = divisible(prepared.as_tensor(), detector.parts.size_divisible)
        del prepared
        with self.monitor.stage("Network"):
            volumes = len(self.shown) * math.prod(self._shape) * FLOAT
            beside = replace(beside, result=2 * volumes)  # with what they are made of
            fitted = fit(detector, image, size, self.device, self.options, room, beside, self.monitor)
            log.info("%s: %s", self.bundle.name, fitted.plan.sentence)
        notes = (*_thick(frame), *_thin(detector, self._shape, size), *fitted.notes)
        return _Ready(detector, fitted.caller, fitted.plan, frame, size, tuple(image.shape[1:]), notes)

    def _found(self, ready: _Ready, levels: Sequence[Level], way: Way) -> Boxes:
        candidates = [level.candidates for level in levels]
        found = select(ready.detector, candidates, ready.padded, ready.size)
        more = dict(zip(ready.caller.columns, found.more.T, strict=True))
        squash = ready.detector.parts.box_selector.apply_sigmoid
        heatmaps = {
            class_: heatmap(
                [level.maps[number] for level in levels], ready.padded, ready.frame, self._shape, squash, self.monitor
            )
            for number, class_ in enumerate(self.shown)
        }
        return Boxes(
            ready.frame.mapped(found.corners),
            found.scores,
            found.classes,
            more,
            heatmaps,
            device=str(way.device),
            precision=way.precision,
            memory_step=way.step,
            plan=ready.plan.sentence,
            notes=(
                *ready.notes,
                *_left_out(levels),
                *_capped(found, self.bundle.score_threshold),
                *_unlike(ready.caller.dropped),
                *_no_numbers(more),
            ),
        )


@dataclass(frozen=True)
class _Ready:
    """A run that is planned.

    Attributes:
        size: Of the image as the network has it, (I, J, K) or (I, J).
        padded: Of the same, with what makes it divisible.
    """

    detector: Detector
    caller: HeadCaller
    plan: Plan
    frame: Frame
    size: tuple[int, ...]
    padded: tuple[int, ...]
    notes: tuple[str, ...]

    def go(self, monitor: Monitor, shown: Sequence[int]) -> tuple[list[Level], Way]:
        """Run all windows; returns what they leave, and how it was computed in the end."""
        levels: list[Level] = []

        def move(device: torch.device) -> None:
            for level in levels:
                level.move(device)

        loop = Loop(self.caller, self.plan.way, move)
        monitor.count()
        try:
            for first, arrival in loop.outputs(monitor):
                rows = arrival.wait()
                with monitor.aside("Post-processing"):
                    if not levels:
                        levels += loop.attempt(lambda: _levels(self.detector, self.caller, loop.way.store, shown))
                    for number, row in enumerate(rows, first):
                        for add in _adders(levels, self.caller.maps, number, row):
                            loop.attempt(add)
                del arrival, rows
            for level in levels:
                for end in level.enders():
                    loop.attempt(end)
        finally:
            if self.caller.device.type == "cuda":
                release_pinned()
        return levels, loop.way


def _levels(detector: Detector, caller: HeadCaller, store: torch.device, shown: Sequence[int]) -> list[Level]:
    """Return what adds each level up; raises BundleError where the maps aren't those of the anchors."""
    parts = detector.parts
    selector = parts.box_selector
    count, anchors, classes = caller.levels, parts.num_anchors_per_loc, parts.num_classes
    per_level = parts.anchor_generator.num_anchors_per_location()
    expected = [anchors * classes] * count + [anchors * 2 * parts.spatial_dims] * count
    if [channels for channels, *_ in caller.maps[: 2 * count]] != expected or per_level != [anchors] * count:
        raise BundleError(
            f"The detector's network answers on {count} levels, {caller.maps[0][0]} scores a place, but its anchors "
            f"are for {len(per_level)} levels with {anchors} × {classes}; mend the config."
        )
    laid = grids(caller.windows, caller.maps[: 2 * count])
    least = _logit(selector.score_thresh) if selector.apply_sigmoid else float(selector.score_thresh)
    most, further = selector.topk_candidates_per_level, len(caller.columns)
    levels = [
        Level(scores, boxes, anchors, classes, least, most, store, shown, further)
        for scores, boxes in zip(laid[:count], laid[count:], strict=True)
    ]
    if any(0 in level.grid for level in levels):
        raise InputError("The scan is too small for this detector, which has no place in it; give a larger one.")
    return levels


def _logit(score: float) -> float:
    """Return the number just below that of a score, so that rounding drops none; MONAI's own selection comes after."""
    if not 0 < score < 1:
        return -math.inf if score <= 0 else math.inf
    return math.log(score / (1 - score)) - 1e-4


def _adders(levels: list[Level], maps: Any, number: int, row: torch.Tensor) -> Any:
    """Yield what adds each map of a window."""
    import torch

    sizes = [math.prod(shape) for shape in maps]
    parts = [part.view(shape) for part, shape in zip(torch.split(row, sizes), maps, strict=True)]
    for index, level in enumerate(levels):
        scores, boxes, *further = parts[index :: len(levels)]
        yield from level.adders(number, scores, boxes, further)


def divisible(image: torch.Tensor, factors: Any) -> torch.Tensor:
    """Return (C, I, J, K) or (C, I, J) with zeros behind its ends, so that its size is a multiple of the factors.

    One that is a single factor at most along every axis gets two: a network would shrink it to one voxel, which can't
    be normalised.
    """
    import torch

    least = 2 if all(n <= int(factor) for n, factor in zip(image.shape[1:], factors, strict=True)) else 1
    sizes = [max(-(-n // int(factor)), least) * int(factor) for n, factor in zip(image.shape[1:], factors, strict=True)]
    behind = [size - n for size, n in zip(sizes, image.shape[1:], strict=True)]
    margins = [margin for extra in reversed(behind) for margin in (0, extra)]
    return torch.nn.functional.pad(image, margins) if any(behind) else image


def _thick(frame: Frame) -> list[str]:
    thickest = float(frame.steps.max())
    if thickest < THICK * (1 - ROUNDING):
        return []
    return [f"The scan's voxels are {thickest:.0f} times as thick as the model's; what is small may be missed."]


def _thin(detector: Detector, shape: Sequence[int], size: Sequence[int]) -> list[str]:
    """Tell of an image (I, J, K), of `size` in the network's grid, that leaves nothing to see along an axis."""
    thinnest = min(shape)
    if thinnest <= FEW and detector.parts.spatial_dims == len(shape):
        slices = "is only 1 slice" if thinnest == 1 else f"are only {thinnest} slices"
        return [f"There {slices}, too few to find anything reliably."]
    if min(size) < smallest_anchor(detector):
        return [
            "The scan is thinner than the smallest box this detector looks for, too thin to find anything reliably."
        ]
    return []


def _left_out(levels: Sequence[Level]) -> list[str]:
    count = sum(level.left_out for level in levels)
    if not count:
        return []
    return [
        f"{count} possible boxes with low scores were not looked at, as the bundle lets more than {MOST_CANDIDATES} of "
        "a level through."
    ]


def _capped(found: Selected, threshold: float) -> list[str]:
    """Tell of boxes beyond the most that are kept, where some of them would count as findings."""
    if found.beyond < threshold:
        return []
    return [f"Only the {len(found.scores)} boxes with the highest scores were kept; more reach {threshold:g}."]


def _unlike(dropped: Sequence[str]) -> list[str]:
    if not dropped:
        return []
    names = ", ".join(map(repr, dropped))
    return [f"The network also gives {names}; that was left out, as its maps aren't those of the anchors."]


def _no_numbers(more: Mapping[str, npt.NDArray[np.float64]]) -> list[str]:
    counts = {name: int((~np.isfinite(values)).sum()) for name, values in more.items()}
    return [
        f"{name!r} is no number for {count} boxes and was left out there." for name, count in counts.items() if count
    ]
