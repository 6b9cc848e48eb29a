"""Whether a training step is quicker in bfloat16 with channels last: it is tried, since processors differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from copy import deepcopy
from typing import Any

import torch

GAIN = 0.9  # half precision has to be so much quicker to be worth its rounding
TRIES = 2

Loss = Callable[[Any, torch.Tensor], torch.Tensor]
"""Of a network's answer in full precision, and labels."""


def autocast(device: torch.device, half: bool) -> AbstractContextManager[object]:
    """Return the context that a network computes in."""
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


def as_float(answer: Any) -> Any:
    """Return a network's answer, a tensor or lists and mappings of such, in full precision."""
    if isinstance(answer, Mapping):
        return {name: as_float(one) for name, one in answer.items()}
    return [as_float(one) for one in answer] if isinstance(answer, (list, tuple)) else answer.float()


def laid_out(value: torch.Tensor, half: bool) -> torch.Tensor:
    """Return an image (B, C, ...) laid out as the network's weights are."""
    return value.contiguous(memory_format=_layout(value.dim())) if half else value


def lay_out(network: torch.nn.Module, half: bool, dims: int) -> None:
    """Lay a network's weights out for images of so many axes, batch and channels included."""
    if half:
        network.to(memory_format=_layout(dims))  # type: ignore[call-overload]  # torch types 2-D formats only


def _layout(dims: int) -> torch.memory_format:
    return {4: torch.channels_last, 5: torch.channels_last_3d}.get(dims, torch.contiguous_format)


def half_pays(network: torch.nn.Module, loss: Loss, image: torch.Tensor, label: torch.Tensor) -> bool:
    """Tell whether a step is quicker so; the network and torch's random numbers stay as they are."""
    device = image.device
    if not has_units(device):
        return False
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        full, half = (step_seconds(network, loss, image, label, way) for way in (False, True))
    return half < GAIN * full


def has_units(device: torch.device) -> bool:
    """Tell whether a device computes in bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def step_seconds(
    network: torch.nn.Module, loss: Loss, image: torch.Tensor, label: torch.Tensor, half: bool, tries: int = TRIES
) -> float:
    """Return the time of the quickest of some steps on a copy, after one that prepares what later ones use."""
    trial = deepcopy(network)
    lay_out(trial, half, image.dim())
    seconds = []
    for _ in range(1 + tries):
        begun = time.perf_counter()
        with autocast(image.device, half):
            answer = trial(laid_out(image, half))
        loss(as_float(answer), label).backward()  # type: ignore[no-untyped-call]  # not typed in torch
        if image.device.type == "cuda":
            torch.cuda.synchronize(image.device)
        seconds.append(time.perf_counter() - begun)
    return min(seconds[1:] or seconds)
