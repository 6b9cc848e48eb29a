"""From images to boxes in the grid of the input: windows, candidates, one suppression of overlaps, and back."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from DeepImagingLib.inference.plan import Plan
from DeepImagingLib.inference.predict import told_plainly
from DeepImagingLib.inference.preprocess import preprocess
from DeepImagingLib.inference.selection import most_boxes, select

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle, Pipeline
    from DeepImagingLib.bundles.detector import Detector
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.options import Options

log = logging.getLogger(__name__)

THICK = 4.0
"""So many times the model's voxel, a voxel of the scan is worth a note."""


@dataclass(frozen=True)
class Boxes(Answer):
    """What a detector says of an image.

    Attributes:
        corners: (N, 6) in voxels of the image, the lower corner first; whole numbers are centres. The highest score
            is the first.
        scores: (N,).
        classes: (N,) numbers of the network's classes, from 0.
        heatmaps: Class to its scores (I, J, K) at the voxels of the image, float32, of those that were asked for.
    """

    corners: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
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
        with self.monitor.stage("Preprocessing"):
            prepared = preprocess(self.pipeline.preprocessing, self.images, self.monitor)[self.bundle.input_key]
        frame = Frame.between(prepared, next(iter(self.images.values())))
        size = tuple(prepared.shape[1:])
        image = divisible(prepared.as_tensor(), detector.parts.size_divisible)
        del prepared
        with self.monitor.stage("Network"):
            volumes = len(self.shown) * math.prod(self._shape) * 4
            fitted = fit(detector, image, size, self.device, self.options, volumes, self.monitor)
            log.info("%s: %s", self.bundle.name, fitted.plan.sentence)
        notes = (*_thick(frame), *fitted.notes)
        return _Ready(detector, fitted.caller, fitted.plan, frame, size, tuple(image.shape[1:]), notes)

    def _found(self, ready: _Ready, levels: Sequence[Level], way: Way) -> Boxes:
        candidates = [level.candidates for level in levels]
        corners, scores, classes = select(ready.detector, candidates, ready.padded, ready.size)
        squash = ready.detector.parts.box_selector.apply_sigmoid
        heatmaps = {
            class_: heatmap(
                [level.maps[number] for level in levels], ready.padded, ready.frame, self._shape, squash, self.monitor
            )
            for number, class_ in enumerate(self.shown)
        }
        return Boxes(
            ready.frame.mapped(corners),
            scores,
            classes,
            heatmaps,
            device=str(way.device),
            precision=way.precision,
            memory_step=way.step,
            plan=ready.plan.sentence,
            notes=(*ready.notes, *_left_out(levels), *_capped(len(scores), ready.detector)),
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
    count, anchors, classes = len(caller.maps) // 2, parts.num_anchors_per_loc, parts.num_classes
    per_level = parts.anchor_generator.num_anchors_per_location()
    expected = [anchors * classes] * count + [anchors * 2 * parts.spatial_dims] * count
    if [channels for channels, *_ in caller.maps] != expected or per_level != [anchors] * count:
        raise BundleError(
            f"The detector's network answers on {count} levels, {caller.maps[0][0]} scores a place, but its anchors "
            f"are for {len(per_level)} levels with {anchors} × {classes}; mend the config."
        )
    laid = grids(caller.windows, caller.maps)
    least = _logit(selector.score_thresh) if selector.apply_sigmoid else float(selector.score_thresh)
    return [
        Level(scores, boxes, anchors, classes, least, selector.topk_candidates_per_level, store, shown)
        for scores, boxes in zip(laid[:count], laid[count:], strict=True)
    ]


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
    for level, scores, boxes in zip(levels, parts[: len(levels)], parts[len(levels) :], strict=True):
        yield from level.adders(number, scores, boxes)


def divisible(image: torch.Tensor, factors: Any) -> torch.Tensor:
    """Return (C, I, J, K) or (C, I, J) with zeros behind its ends, so that its size is a multiple of the factors."""
    import torch

    behind = [-n % int(factor) for n, factor in zip(image.shape[1:], factors, strict=True)]
    margins = [margin for extra in reversed(behind) for margin in (0, extra)]
    return torch.nn.functional.pad(image, margins) if any(behind) else image


def _thick(frame: Frame) -> list[str]:
    thickest = float(frame.steps.max())
    if thickest <= THICK:
        return []
    return [f"The scan's voxels are {thickest:.0f} times as thick as the model's; what is small may be missed."]


def _left_out(levels: Sequence[Level]) -> list[str]:
    count = sum(level.left_out for level in levels)
    if not count:
        return []
    return [
        f"{count} possible boxes with low scores were not looked at, as the bundle lets more than {MOST_CANDIDATES} of "
        "a level through."
    ]


def _capped(count: int, detector: Detector) -> list[str]:
    if count < most_boxes(detector):
        return []
    return [f"Only the {count} boxes with the highest scores were kept."]
