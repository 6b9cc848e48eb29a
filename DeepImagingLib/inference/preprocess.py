"""Run a bundle's preprocessing step by step, within little more memory than one copy of the image."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepImagingLib.bundles.allowed import TARGETS, Target
from DeepImagingLib.inference.resample import by_tiles

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from monai.transforms import Compose, Spacingd

    from DeepImagingLib.inference.progress import Monitor

WRITERS = ("NormalizeIntensityd", "StdShiftIntensityd")
HARMLESS = {
    target
    for target in TARGETS.values()
    if target.module.endswith(".dictionary") and ".post." not in target.module and target.name not in WRITERS
}
"""The transforms that are known not to write into what they are given; of those meant for answers several do."""


def preprocess(steps: Compose, data: Mapping[str, MetaTensor], monitor: Monitor) -> dict[str, Any]:
    """Return what `steps(data)` does: the same values, and the same trace for its inverse.

    Each step is run by its own Compose, and what it was given is let go before the next. Spacingd goes by tiles, see
    `resample`. The images given are never written to: a step that might do so gets a copy.

    Args:
        steps: The chain; run whole where it is lazy or of a kind of its own.
        data: Key to image (C, I, J, K), on the CPU. What comes out may share its memory.
        monitor: Told the share that is done, and asked whether to go on, at each step and tile.

    Raises:
        CancelledError: The monitor was told to stop.
        RuntimeError: MONAI's, where a step fails.
    """
    from monai.transforms import Compose

    plan = list(each_step(steps)) if type(steps) is Compose and steps.lazy is False else [(steps, steps)]
    current: Any = {key: image.detach() for key, image in data.items()}  # ToTensord adds to the trace of what it gets
    for index, (step, run) in enumerate(plan):

        def tell(share: float, index: int = index) -> None:
            monitor.update((index + share) / len(plan))

        tell(0)
        if Target(type(step).__module__, type(step).__name__) not in HARMLESS:
            current = _apart(current, data)
        current = _tiled(step, tell)(current, lazy=False) if _is_spacing(step, current) else run(current)
    return current


def each_step(chain: Compose) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Yield each step of a chain, also of chains within, with what runs it as the chain would."""
    from monai.transforms import Compose

    for index, step in enumerate(chain.transforms):
        if type(step) is Compose:
            yield from each_step(step)
        else:
            yield step, partial(chain, start=index, end=index + 1, lazy=False)


def _apart(current: Any, given: Mapping[str, MetaTensor]) -> Any:
    """Return the data with copies in place of what shares memory with the images given."""
    if not isinstance(current, dict):
        return current  # made by a step that isn't known, which got copies
    images = [image.numpy() for image in given.values()]
    return {
        key: copy.deepcopy(value) if any(_shares(value, image) for image in images) else value
        for key, value in current.items()
    }


def _shares(value: Any, image: np.ndarray[Any, Any]) -> bool:
    import torch

    if isinstance(value, torch.Tensor):
        value = value.numpy() if value.device.type == "cpu" else None
    return isinstance(value, np.ndarray) and np.may_share_memory(value, image)


def _is_spacing(step: Any, current: Any) -> bool:
    from monai.transforms import Spacingd

    return type(step) is Spacingd and isinstance(current, dict)


def _tiled(step: Spacingd, tell: Callable[[float], None]) -> Spacingd:
    """Return the same Spacingd but for what interpolates."""
    tiled = copy.copy(step)
    tiled.spacing_transform = copy.copy(step.spacing_transform)
    tiled.spacing_transform.sp_resample = by_tiles(step.spacing_transform.sp_resample, tell)
    return tiled
