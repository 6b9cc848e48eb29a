"""What a training will take, in time and memory: measured on one step, before anything is written."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from DeepImagingLib.bundles.trusted import TrustedBuilder
from DeepImagingLib.inference.memory import free_memory, measured
from DeepImagingLib.training.planning import Choice, Plan
from DeepImagingLib.training.precision import has_units, step_seconds
from DeepImagingLib.training.room import enough_room

if TYPE_CHECKING:
    from DeepImagingLib.training.compose import Draft

GB, BYTES_A_VALUE, KINDS_OF_STATE = 1e9, 4, 3
"""A training keeps weights, their running average and the optimizer's two moments beside the gradients."""


def costs(draft: Draft, minutes: float | None = None) -> Plan:
    """Return "time" and "memory" of a training, each with what it was made of.

    Args:
        draft: A training that could begin.
        minutes: The time it is given; None takes the steps of its plan.
    """
    train, base = draft.train, draft.base
    device = torch.device(draft.assignment.device)
    builder = TrustedBuilder(dict(train), str(base.path if base else draft.assignment.output), str(device))
    network = builder.get("network_def").to(device)
    channels = max(1, len(draft.assignment.dataset.channels))
    image = torch.rand(train["batch_size"], channels, *train["patch"], device=device)
    label = draft.blank(image)
    if "detector_ops" in train:  # what sets its loss up
        builder.get("detector_ops")
    with enough_room(device), measured(device) as usage:
        step_seconds(network, builder.get("loss"), image, label, False, tries=0)
    ways = (False, True) if has_units(device) else (False,)
    seconds = min(step_seconds(network, builder.get("loss"), image, label, half) for half in ways) * train["accumulate"]
    weights = sum(weight.numel() for weight in network.parameters()) * BYTES_A_VALUE * KINDS_OF_STATE
    return {
        "time": _time(seconds, _steps(draft), minutes),
        "memory": _memory(usage.peak + weights, _scans(draft), free_memory(device), device),
    }


def _steps(draft: Draft) -> int:
    train = draft.train
    if isinstance(train["steps"], int):  # as the user set them
        return train["steps"]
    cases = len(draft.assignment.dataset.part("train"))
    return max(1, train["epochs"] * cases // (train["batch_size"] * train["accumulate"]))


def _scans(draft: Draft) -> float:
    """Return the bytes of the prepared scans that are kept in memory, of each split at most what the plan allows."""
    dataset = draft.assignment.dataset
    split_of = {case.key: str(case.split) for case in dataset.cases}
    spacing = next((step["pixdim"] for step in draft.train["preparation"] if "pixdim" in step), None)
    bytes_of: Counter[str] = Counter()
    for one in draft.inspection.facts:
        resampled = np.divide(one.spacing, spacing).prod() if spacing and len(spacing) == len(one.spacing) else 1.0
        size = np.prod(one.shape) * resampled * (len(dataset.channels) + 1) * BYTES_A_VALUE
        bytes_of[split_of[one.case.key]] += int(size)
    limit = draft.train["cache_gb"] * GB
    return float(min(bytes_of["train"], limit) + min(bytes_of["validation"], limit))


def _time(seconds: float, steps: int, minutes: float | None) -> Choice:
    a_step = f"{seconds:.2g} s a step, as measured just now"
    if minutes is not None:
        return Choice(f"{minutes:g} min", f"as you set it: about {60 * minutes / seconds:.0f} steps, {a_step}")
    return Choice(
        f"about {max(1, round(steps * seconds / 60))} min",
        f"{steps} steps, {a_step}; patches and validation come on top",
    )


def _memory(step: float, scans: float, free: float, device: torch.device) -> Choice:
    where = "of the host's" if device.type == "cpu" else f"of {device}'s"
    reason = f"network and a batch; prepared scans take up to {scans / GB:.1f} GB of the host's memory beside that"
    if step > free:
        return Choice(
            f"about {step / GB:.1f} GB", f"more than the {free / GB:.1f} GB {where} that are free: set a smaller patch"
        )
    return Choice(f"about {step / GB:.1f} GB {where} {free / GB:.0f} GB that are free", reason)
