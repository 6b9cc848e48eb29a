"""From images to boxes in the grid of the input: windows, candidates, one suppression of overlaps, and back."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError, InputError
from DeepImagingLib.inference.heads import Candidates, HeadCaller, Level, bytes_of_sums, grids
from DeepImagingLib.inference.ladder import Way, descend
from DeepImagingLib.inference.loop import Loop
from DeepImagingLib.inference.memory import measured, release_pinned
from DeepImagingLib.inference.network import padded
from DeepImagingLib.inference.plan import Need, Plan, fits, limits, make_plan, starting_way
from DeepImagingLib.inference.predict import told_plainly
from DeepImagingLib.inference.preprocess import preprocess
from DeepImagingLib.inference.probe import Probe, timed
from DeepImagingLib.inference.windows import Shape, Windows, windows_of

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle, Pipeline
    from DeepImagingLib.bundles.detector import Detector
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.options import Options

log = logging.getLogger(__name__)

MOST_BOXES = 1000
"""Boxes kept, however many a bundle asks for: nobody looks at more."""
TRIED = 64
"""Voxels along each axis of the window by which memory and time are told; twice as many of a picture's."""
PLANES = 16
OVERLAP = 0.25
"""Share by which windows overlap where they are the road's own."""
THICK = 4.0
"""So many times the model's voxel, a voxel of the scan is worth a note."""


@dataclass(frozen=True)
class Boxes:
    """What a detector says of an image.

    Attributes:
        corners: (N, 6) in voxels of the image, the lower corner first; whole numbers are centres. The highest score
            is the first.
        scores: (N,).
        classes: (N,) numbers of the network's classes, from 0.
        device, precision, memory_step, plan, notes: As of `Prediction`.
        heatmaps: Class to its scores (I, J, K) at the voxels of the image, float32, of those that were asked for.
    """

    corners: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    device: str
    precision: str
    memory_step: str
    plan: str
    notes: tuple[str, ...] = ()
    heatmaps: Mapping[int, npt.NDArray[np.float32]] = field(default_factory=dict)


def detect(
    bundle: Bundle,
    pipeline: Pipeline,
    images: Mapping[str, MetaTensor],
    device: torch.device,
    monitor: Monitor,
    options: Options,
    shown: Sequence[int] = (),
) -> Boxes:
    """Run a bundle that finds boxes; arguments and errors as of `predict`, `shown` are classes wanted as heatmaps.

    With the same weights the boxes are those of MONAI's RetinaNetDetector, before they go into the input's grid.
    """
    import torch

    with told_plainly(bundle, device), torch.inference_mode():
        ready = _ready(bundle, pipeline, images, device, monitor, options, shown)
        with monitor.stage("Network"):
            levels, way = ready.go(monitor, shown)
        with monitor.stage("Post-processing"):
            candidates = [level.candidates for level in levels]
            corners, scores, classes = select(ready.detector, candidates, ready.padded, ready.size)
            shape = (*next(iter(images.values())).shape[1:], 1)[:3]
            heatmaps = {c: _heatmap(ready, levels, number, shape, monitor) for number, c in enumerate(shown)}
            notes = [*ready.notes]
            if len(scores) == most_boxes(ready.detector):
                notes.append(f"Only the {len(scores)} boxes with the highest scores were kept.")
            corners = ready.frame.mapped(corners)
    told = (str(way.device), way.precision, way.step, ready.plan.sentence, tuple(notes))
    return Boxes(corners, scores, classes, *told, heatmaps)


def foresee_boxes(
    bundle: Bundle,
    pipeline: Pipeline,
    images: Mapping[str, MetaTensor],
    device: torch.device,
    monitor: Monitor,
    options: Options,
    shown: Sequence[int] = (),
) -> Plan:
    """Return how a run will go, without running it but for one small window; arguments and errors as of `detect`."""
    import torch

    with told_plainly(bundle, device), torch.inference_mode():
        return _ready(bundle, pipeline, images, device, monitor, options, shown).plan


@dataclass(frozen=True)
class Frame:
    """The way from the network's grid to that of the image.

    Attributes:
        matrix: (4, 4) in voxels.
    """

    matrix: npt.NDArray[np.float64]

    @classmethod
    def between(cls, prepared: MetaTensor, image: MetaTensor) -> Frame:
        """Return that of a preprocessed image; raises BundleError where the preprocessing lost where it lies."""
        from monai.data.utils import to_affine_nd

        one, other = (to_affine_nd(3, np.asarray(each.affine, dtype=np.float64)) for each in (prepared, image))
        if np.allclose(one, other, rtol=0, atol=1e-6):
            return cls(np.eye(4))
        rank = image.ndim - 1
        one, other = (np.asarray(to_affine_nd(rank, each)) for each in (one, other))
        if np.linalg.det(other) == 0:
            raise BundleError(
                "The bundle resamples pictures in a plane that it doesn't know; use it on pictures alone."
            )
        return cls(np.asarray(to_affine_nd(3, np.linalg.inv(other) @ one)))

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """Voxels of the network's grid along each axis (3,) of the image's voxels."""
        return 1 / np.abs(self.matrix[:3, :3]).sum(1)

    def mapped(self, corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return (N, 6) of the image for boxes (N, 6) or (N, 4) of the network's grid."""
        if corners.shape[1] == 4:  # a picture is half a voxel thick on either side of its plane
            low, high = np.full((len(corners), 1), -0.5), np.full((len(corners), 1), 0.5)
            corners = np.hstack([corners[:, :2], low, corners[:, 2:], high])
        middle, half = (corners[:, :3] + corners[:, 3:]) / 2, (corners[:, 3:] - corners[:, :3]) / 2
        middle = middle @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        half = half @ np.abs(self.matrix[:3, :3]).T
        return np.hstack([middle - half, middle + half])


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


def _heatmap(
    ready: _Ready, levels: Sequence[Level], number: int, shape: tuple[int, ...], monitor: Monitor
) -> npt.NDArray[np.float32]:
    """Return the highest score of any level and anchor at each voxel (I, J, K) of the image, linear between places."""
    from scipy import ndimage

    heat = np.full(shape, -np.inf, np.float32)
    back = np.linalg.inv(ready.frame.matrix)
    for level in levels:
        values = level.maps[number]
        strides = np.array([n // g for n, g in zip((*ready.padded, 1), values.shape)])
        matrix = back[:3, :3] / strides[:, None]
        offset = (back[:3, 3] - strides // 2) / strides  # where MONAI has the anchors of a place
        for first in range(0, shape[0], PLANES):  # by slabs, so that copies are small and a cancel is heard
            monitor.ask()
            slab = heat[first : first + PLANES]
            found = ndimage.affine_transform(
                values, matrix, offset + matrix[:, 0] * first, slab.shape, np.float32, order=1, mode="nearest"
            )
            np.maximum(slab, found, out=slab)
    if ready.detector.parts.box_selector.apply_sigmoid:
        for plane in heat:
            plane[...] = 1 / (1 + np.exp(-plane))
    return heat


def most_boxes(detector: Detector) -> int:
    """Return how many boxes are kept at most."""
    asked = detector.parts.box_selector.detections_per_img
    return min(asked, MOST_BOXES) if asked >= 1 else MOST_BOXES


def select(
    detector: Detector, levels: list[Candidates], padded_size: tuple[int, ...], size: tuple[int, ...]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return boxes (N, 2 D) in the network's grid, scores and classes: MONAI's own selection among candidates."""
    parts = detector.parts
    boxes = [
        parts.box_coder.decode_single(level.codes, anchors)
        for level, anchors in zip(levels, anchors_of(parts.anchor_generator, levels, padded_size), strict=True)
    ]
    selector = copy.copy(parts.box_selector)
    selector.detections_per_img = most_boxes(detector)
    found, scores, classes = selector.select_boxes_per_image(boxes, [level.scores for level in levels], list(size))
    return found.double().numpy(), scores.double().numpy(), classes.numpy()


def anchors_of(generator: Any, levels: list[Candidates], size: tuple[int, ...]) -> list[torch.Tensor]:
    """Return the anchors (N, 2 D) of candidates alone, by the rule of MONAI's AnchorGenerator."""
    import torch

    found = []
    for level, shapes in zip(levels, generator.cell_anchors, strict=True):
        strides = torch.tensor([n // g for n, g in zip(size, level.grid)])
        centers = level.places[:, : len(size)] * strides + strides // 2
        if generator.indexing == "xy":
            centers = centers[:, [1, 0, *range(2, len(size))]]
        found.append(centers.repeat(1, 2) + shapes.cpu().float()[level.anchors])
    return found


def _ready(
    bundle: Bundle,
    pipeline: Pipeline,
    images: Mapping[str, MetaTensor],
    device: torch.device,
    monitor: Monitor,
    options: Options,
    shown: Sequence[int],
) -> _Ready:
    """Preprocess, choose windows that fit, and plan; raises MemoryLimitError where none does."""
    detector = pipeline.detector
    if detector is None:
        raise BundleError(f"The bundle {bundle.name!r} has no detector; it can't find boxes.")
    if options.tta:
        raise InputError("Detectors aren't run mirrored as well; leave tta out.")
    with monitor.stage("Preprocessing"):
        prepared = preprocess(pipeline.preprocessing, images, monitor)[bundle.input_key]
    frame = Frame.between(prepared, next(iter(images.values())))
    size = tuple(prepared.shape[1:])
    image = divisible(prepared.as_tensor(), detector.parts.size_divisible)
    del prepared
    with monitor.stage("Network"):
        windows = _windows(detector, size, tuple(image.shape[1:]))
        way = starting_way(device, windows, options.precision)
        caller = _caller(detector, windows, image, way, monitor)
        told, way, maps = _tried(caller, way)
        allowed = limits(way.device, options.memory_limit)
        volumes = len(shown) * math.prod(next(iter(images.values())).shape[1:]) * 4
        fitting = _fitting(detector, windows, tuple(image.shape[1:]), maps, told, way, allowed, volumes)
        notes = [*_thick(frame)]
        if fitting.window != windows.window:
            notes.append(
                f"Windows of {_by(windows.window)} voxels don't fit into memory; windows of {_by(fitting.window)} were "
                "used, which changes scores near their borders a little."
            )
            caller = _caller(detector, fitting, image, way, monitor)
        probe = replace(told, seconds=told.seconds * math.prod(fitting.window))
        plan = make_plan(way, fitting, probe, _need(fitting, maps, told, volumes), allowed)
        caller.use(plan.way.device, plan.way.dtype)
        log.info("%s: %s", bundle.name, plan.sentence)
    return _Ready(detector, caller, plan, frame, size, tuple(image.shape[1:]), tuple(notes))


def divisible(image: torch.Tensor, factors: Any) -> torch.Tensor:
    """Return (C, I, J, K) or (C, I, J) with zeros behind its ends, so that its size is a multiple of the factors."""
    import torch

    behind = [-n % int(factor) for n, factor in zip(image.shape[1:], factors, strict=True)]
    margins = [margin for extra in reversed(behind) for margin in (0, extra)]
    return torch.nn.functional.pad(image, margins) if any(behind) else image


def _windows(detector: Detector, size: tuple[int, ...], padded_size: tuple[int, ...]) -> Windows:
    """Return the windows that the zoo's inferer would have MONAI's detector use, which may be one over all."""
    from monai.inferers import SimpleInferer

    inferer = detector.parts.inferer
    whole = inferer is None
    if inferer is not None and not detector.in_windows:
        roi = inferer.roi_size if not isinstance(inferer.roi_size, int) else [inferer.roi_size] * len(size)
        whole = math.prod(size) < math.prod(roi)
    return windows_of(SimpleInferer() if whole or inferer is None else inferer, padded_size)


def _caller(detector: Detector, windows: Windows, image: torch.Tensor, way: Way, monitor: Monitor) -> HeadCaller:
    parts = detector.parts
    return HeadCaller(
        parts.network,
        windows,
        padded(image, windows),
        way.device,
        way.dtype,
        monitor.ask,
        keys=(parts.cls_key, parts.box_reg_key),
    )


def _tried(caller: HeadCaller, way: Way) -> tuple[Probe, Way, list[tuple[float, ...]]]:
    """Run a small window.

    Returns:
        Bytes and seconds for a voxel of a window, how that was computed, and of each map its channels and its size
        as a share of the window's.
    """
    windows = caller.windows
    most = TRIED if windows.flat is None else 2 * TRIED
    small: Shape = tuple(min(n, most) for n in windows.window)  # type: ignore[assignment]
    trial = replace(caller, windows=replace(windows, window=small))

    def first(way: Way) -> tuple[float, int]:
        with measured(way.device) as usage:
            _, seconds = timed(trial, (0, 0, 0), way.dtype)
        return seconds, usage.peak

    (seconds, peak), tried = descend(replace(way, batch=1), first, lambda lower: trial.use(lower.device, lower.dtype))
    caller.use(trial.device, trial.dtype)
    voxels = math.prod(small)
    maps = [(channels, *(n / s for n, s in zip(shape, small, strict=True))) for channels, *shape in trial.maps]
    return Probe(0, tried.dtype, seconds / voxels, -(-peak // voxels)), replace(tried, batch=way.batch), maps


def _need(windows: Windows, maps: list[tuple[float, ...]], told: Probe, volumes: int) -> Need:
    """Return what adding up takes, a window by the bytes of its voxels, and the heatmaps with what they are made of."""
    shapes = [
        (int(channels), *(max(round(n * share), 1) for n, share in zip(windows.window, shares, strict=True)))
        for channels, *shares in maps
    ]
    output = sum(map(math.prod, shapes)) * 4
    return Need(told.bytes * math.prod(windows.window), bytes_of_sums(windows, shapes) + output, 2 * volumes, output, 0)


def _fitting(
    detector: Detector,
    windows: Windows,
    size: tuple[int, ...],
    maps: list[tuple[float, ...]],
    told: Probe,
    way: Way,
    allowed: tuple[int, int],
    volumes: int,
) -> Windows:
    """Return the windows, made smaller until one of them fits; as small as can be where none does."""
    from monai.inferers import SlidingWindowInferer

    factors = [int(factor) for factor in detector.parts.size_divisible]
    single = replace(way, batch=1, store=_host())
    while not fits(Plan(single, len(windows.starts), _need(windows, maps, told, volumes), allowed, None)):
        roi = list(windows.window[: len(size)])
        smaller = [max(n // 2 // factor, 1) * factor for n, factor in zip(roi, factors, strict=True)]
        axis = max(range(len(roi)), key=lambda index: roi[index] - smaller[index])
        if smaller[axis] >= roi[axis] or roi[axis] <= TRIED:
            return windows
        roi[axis] = smaller[axis]
        given = detector.parts.inferer
        inferer = copy.copy(given) if given is not None else SlidingWindowInferer(roi, overlap=OVERLAP)
        inferer.roi_size = roi
        windows = windows_of(inferer, size)
    return windows


def _host() -> torch.device:
    import torch

    return torch.device("cpu")


def _thick(frame: Frame) -> list[str]:
    thickest = float(frame.steps.max())
    if thickest <= THICK:
        return []
    return [f"The scan's voxels are {thickest:.0f} times as thick as the model's; what is small may be missed."]


def _by(shape: Shape) -> str:
    return " × ".join(str(n) for n in shape)
