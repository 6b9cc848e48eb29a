"""Windows for a detector: those its config asks for, or the largest that fit into memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from DeepImagingLib.inference.heads import HeadCaller, bytes_of_sums
from DeepImagingLib.inference.ladder import Way, descend
from DeepImagingLib.inference.memory import measured
from DeepImagingLib.inference.network import padded
from DeepImagingLib.inference.plan import FLOAT, Need, Plan, fits, limits, make_plan, starting_way
from DeepImagingLib.inference.probe import Probe, timed
from DeepImagingLib.inference.windows import Shape, Windows, windows_of

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.bundles.detector import Detector
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.options import Options

TRIED = 64
"""Voxels along each axis of the window by which memory and time are told; twice as many of a picture's."""
OVERLAP = 0.25
"""Share by which windows overlap where they are the road's own."""


@dataclass(frozen=True)
class Fitted:
    """A network on windows that fit, how they will be computed, and what is to be told."""

    caller: HeadCaller
    plan: Plan
    notes: tuple[str, ...]


def fit(
    detector: Detector,
    image: torch.Tensor,
    size: tuple[int, ...],
    device: torch.device,
    options: Options,
    room: tuple[int, int],
    beside: Need,
    monitor: Monitor,
) -> Fitted:
    """Try a small window, choose windows that fit, and plan.

    Args:
        detector: Whose network is on `device`.
        image: (C, I, J, K) or (C, I, J), divisible as the network needs it.
        size: Of the same, without what makes it divisible.
        device: Where to compute.
        options: How to run.
        room: Bytes that may be taken of `device` and of the host, the image included.
        beside: What there is beside windows: heatmaps, and what preparing the image took.
        monitor: Asked at each window.

    Raises:
        MemoryLimitError: No windows fit.
    """
    padded_size = tuple(image.shape[1:])
    windows = _asked(detector, size, padded_size)
    way = starting_way(device, windows, options.precision)
    caller = _caller(detector, windows, image, way, monitor)
    tried = _tried(caller, way)
    way = tried.way
    allowed = room if way.device == device else limits(way.device, options.memory_limit)

    def need(windows: Windows) -> Need:
        held = tried.need(windows)
        return replace(held, result=beside.result, image=_held(image, windows), preparing=beside.preparing)

    fitting = tried.with_places(_smaller(detector, windows, padded_size, way, allowed, need))
    notes: tuple[str, ...] = ()
    if fitting.window != windows.window:
        notes = (
            f"Windows of {_by(windows.window)} voxels don't fit into memory; windows of {_by(fitting.window)} were "
            "used, which changes scores near their borders a little.",
        )
    if fitting is not windows:
        caller = _caller(detector, fitting, image, way, monitor)
    probe = replace(tried.probe, seconds=tried.probe.seconds * math.prod(fitting.window))
    plan = make_plan(way, fitting, probe, need(fitting), allowed)
    caller.use(plan.way.device, plan.way.dtype)
    return Fitted(caller, plan, notes)


def _held(image: torch.Tensor, windows: Windows) -> int:
    """Return the bytes of an image, and of its copy where windows pad it."""
    copied = FLOAT * len(image) * math.prod(windows.size) if any((*windows.before, *windows.after)) else 0
    return image.nbytes + copied


def _asked(detector: Detector, size: tuple[int, ...], padded_size: tuple[int, ...]) -> Windows:
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
        anchors=parts.num_anchors_per_loc,
    )


@dataclass(frozen=True)
class _Tried:
    """What a small window told.

    Attributes:
        probe: Bytes and seconds for a voxel of a window.
        way: How that was computed.
        maps: Of each map its channels and its size as a share of the window's.
        levels: How many maps an output has.
    """

    probe: Probe
    way: Way
    maps: list[tuple[float, ...]]
    levels: int

    def need(self, windows: Windows) -> Need:
        """Return what adding up takes, and a window by the bytes of its voxels."""
        shapes = [
            (int(channels), *(max(round(n * share), 1) for n, share in zip(windows.window, shares, strict=True)))
            for channels, *shares in self.maps
        ]
        output = FLOAT * sum(map(math.prod, shapes))
        sums = bytes_of_sums(windows, shapes, self.levels) + output
        return Need(self.probe.bytes * math.prod(windows.window), sums, 0, output, 0)

    def with_places(self, windows: Windows) -> Windows:
        """Return the windows with all of the margin behind an image that the coarsest level has no place in else.

        Where both sides are padded alike, as MONAI does, the one place of a thin scan may round into the margin.
        """
        strides = [1 / min(shares) for shares in list(zip(*self.maps, strict=True))[1:]]
        ends = [n - after for n, after in zip(windows.size, windows.after, strict=True)]
        before = tuple(
            first if round(end / stride) > round(first / stride) else 0
            for first, end, stride in zip(windows.before, ends, strides, strict=True)
        )
        if before == windows.before:
            return windows
        after = tuple(a + b - n for a, b, n in zip(windows.after, windows.before, before, strict=True))
        return replace(windows, before=before, after=after)  # type: ignore[arg-type]  # as long as they were


def _tried(caller: HeadCaller, way: Way) -> _Tried:
    """Run a small window."""
    windows = caller.windows
    most = TRIED if windows.flat is None else 2 * TRIED
    i, j, k = windows.window
    small = (min(i, most), min(j, most), min(k, most))
    trial = replace(caller, windows=replace(windows, window=small))

    def first(way: Way) -> tuple[float, int]:
        with measured(way.device) as usage:
            _, seconds = timed(trial, (0, 0, 0), way.dtype)
        return seconds, usage.peak

    (seconds, peak), tried = descend(replace(way, batch=1), first, lambda lower: trial.use(lower.device, lower.dtype))
    caller.use(trial.device, trial.dtype)
    voxels = math.prod(small)
    maps = [(channels, *(n / s for n, s in zip(shape, small, strict=True))) for channels, *shape in trial.maps]
    probe = Probe(0, tried.dtype, seconds / voxels, -(-peak // voxels))
    return _Tried(probe, replace(tried, batch=way.batch), maps, trial.levels)


def _smaller(
    detector: Detector,
    windows: Windows,
    size: tuple[int, ...],
    way: Way,
    allowed: tuple[int, int],
    need: Callable[[Windows], Need],
) -> Windows:
    """Return the windows, made smaller until one of them fits; as small as can be where none does."""
    from monai.inferers import SlidingWindowInferer

    factors = [int(factor) for factor in detector.parts.size_divisible]
    single = replace(way, batch=1, store=_host())
    while not fits(Plan(single, len(windows.starts), need(windows), allowed, None)):
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


def _by(shape: Shape) -> str:
    return " × ".join(str(n) for n in shape)
