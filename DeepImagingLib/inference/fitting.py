"""Windows for a detector: those its config asks for, or the largest that fit into memory."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from DeepImagingLib.inference.heads import HeadCaller, bytes_of_sums
from DeepImagingLib.inference.ladder import Way, descend
from DeepImagingLib.inference.memory import measured
from DeepImagingLib.inference.network import padded
from DeepImagingLib.inference.plan import Need, Plan, fits, limits, make_plan, starting_way
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
    volumes: int,
    monitor: Monitor,
) -> Fitted:
    """Try a small window, choose windows that fit, and plan.

    Args:
        detector: Whose network is on `device`.
        image: (C, I, J, K) or (C, I, J), divisible as the network needs it.
        size: Of the same, without what makes it divisible.
        device: Where to compute.
        options: How to run.
        volumes: Bytes of the heatmaps that are asked for.
        monitor: Asked at each window.

    Raises:
        MemoryLimitError: No windows fit.
    """
    windows = _asked(detector, size, tuple(image.shape[1:]))
    way = starting_way(device, windows, options.precision)
    caller = _caller(detector, windows, image, way, monitor)
    told, way, maps = _tried(caller, way)
    allowed = limits(way.device, options.memory_limit)
    fitting = _smaller(detector, windows, tuple(image.shape[1:]), maps, told, way, allowed, volumes)
    notes: tuple[str, ...] = ()
    if fitting.window != windows.window:
        notes = (
            f"Windows of {_by(windows.window)} voxels don't fit into memory; windows of {_by(fitting.window)} were "
            "used, which changes scores near their borders a little.",
        )
        caller = _caller(detector, fitting, image, way, monitor)
    probe = replace(told, seconds=told.seconds * math.prod(fitting.window))
    plan = make_plan(way, fitting, probe, _need(fitting, maps, told, volumes), allowed)
    caller.use(plan.way.device, plan.way.dtype)
    return Fitted(caller, plan, notes)


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
    )


def _tried(caller: HeadCaller, way: Way) -> tuple[Probe, Way, list[tuple[float, ...]]]:
    """Run a small window.

    Returns:
        Bytes and seconds for a voxel of a window, how that was computed, and of each map its channels and its size
        as a share of the window's.
    """
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
    return Probe(0, tried.dtype, seconds / voxels, -(-peak // voxels)), replace(tried, batch=way.batch), maps


def _need(windows: Windows, maps: list[tuple[float, ...]], told: Probe, volumes: int) -> Need:
    """Return what adding up takes, a window by the bytes of its voxels, and the heatmaps with what they are made of."""
    shapes = [
        (int(channels), *(max(round(n * share), 1) for n, share in zip(windows.window, shares, strict=True)))
        for channels, *shares in maps
    ]
    output = sum(map(math.prod, shapes)) * 4
    return Need(told.bytes * math.prod(windows.window), bytes_of_sums(windows, shapes) + output, 2 * volumes, output, 0)


def _smaller(
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


def _by(shape: Shape) -> str:
    return " × ".join(str(n) for n in shape)
