"""Run one window before all others: to learn its channels, its memory, its seconds, and whether half precision pays."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from DeepImagingLib.inference.ladder import AS_PLANNED, Way, half_of
from DeepImagingLib.inference.memory import measured

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.inference.network import Caller
    from DeepImagingLib.inference.windows import Shape, Windows

GAIN = 0.8  # half precision has to be so much quicker to be worth its rounding
ENOUGH = 6  # windows below which trying out costs more than it can gain
DICE = 0.999  # of the window's mask in half precision against the one in full


@dataclass(frozen=True)
class Probe:
    """What one window told.

    Attributes:
        channels: Of the network's output.
        dtype: Arithmetic to take.
        seconds: For a window; those of a network's first call, with what it prepares, where nothing was compared.
        bytes: That a window takes where the network runs, its output included.
    """

    channels: int
    dtype: torch.dtype
    seconds: float
    bytes: int


def probe(caller: Caller, way: Way, decide: Callable[[torch.Tensor], torch.Tensor]) -> Probe:
    """Run the first window; or where the arithmetic is to be chosen the middle one, and that in half precision too.

    The output of the arithmetic that was chosen stays with the caller, so that the window is not computed twice.

    Args:
        caller: The network over its windows.
        way: How to compute unless half precision pays.
        decide: Labels or masks, not zero where there is something, of the network's output (1, K, I, J, K).
    """
    import torch

    learnt = _learnt.setdefault(caller.network, {})
    key = (way.device, caller.windows.window)
    asked = way.may_halve and way.step == AS_PLANNED
    first = learnt.get(key, way.dtype) if asked else way.dtype
    choose = key not in learnt and _may_pay(way, len(caller.windows.starts))
    tried = _middle(caller.windows) if choose else caller.windows.starts[0]
    with measured(way.device) as usage:
        output, seconds = timed(caller, tried, first)
    chosen = Probe(output.shape[1], first, seconds, usage.peak)
    if choose:
        half = half_of(way.device)
        timed(caller, tried, half)  # the first call prepares what later ones use
        other, quicker = timed(caller, tried, half)
        if quicker < GAIN * seconds:  # which had to prepare too: it is given a second chance
            output, seconds = timed(caller, tried, torch.float32)
        one, two = decide(output), decide(other)
        if quicker < GAIN * seconds and _dice(one, two) >= DICE:
            output, chosen = other, Probe(other.shape[1], half, quicker, usage.peak)
        if quicker >= GAIN * seconds or bool(one.any()):  # a window of nothing tells nothing of the mask
            learnt[key] = chosen.dtype
    caller.use(caller.device, chosen.dtype)
    caller.known[tried] = output
    return chosen


_learnt: WeakKeyDictionary[torch.nn.Module, dict[tuple[torch.device, Shape], torch.dtype]] = WeakKeyDictionary()
"""What paid for networks that are still in use."""


def timed(caller: Caller, start: Shape, dtype: torch.dtype) -> tuple[torch.Tensor, float]:
    import torch

    caller.use(caller.device, dtype)
    started = time.perf_counter()
    output = caller([start])
    if caller.device.type == "cuda":
        torch.cuda.synchronize(caller.device)
    return output, time.perf_counter() - started


def _middle(windows: Windows) -> Shape:
    """Return the window nearest to the middle, where there is most to see."""
    return min(
        windows.starts,
        key=lambda start: sum(abs(2 * s + w - n) for s, w, n in zip(start, windows.window, windows.size, strict=True)),
    )


def _may_pay(way: Way, windows: int) -> bool:
    """Tell whether half precision may be taken, and whether a device has units for it."""
    import torch

    if not way.may_halve or way.dtype != torch.float32 or windows < ENOUGH:
        return False
    return way.device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _dice(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the Dice coefficient of what isn't zero in two answers; 0 where there is nothing to compare."""
    same = float(((one == other) & (one != 0)).sum())
    total = float((one != 0).sum() + (other != 0).sum())
    return 2 * same / total if total else 0.0
