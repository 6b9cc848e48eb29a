"""What preprocessing takes, told from where its steps put an image before they touch a voxel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from DeepImagingLib.errors import MemoryLimitError
from DeepImagingLib.inference.ladder import Way
from DeepImagingLib.inference.plan import FLOAT, Need, Plan, fits, refusal
from DeepImagingLib.inference.preprocess import each_step

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from monai.transforms import Compose

GREEDY, COPIES = "ScaleIntensityRange", 4
"""A step that holds the image it is given in its new grid and three more at once."""


def foresee_preparing(steps: Compose, images: Mapping[str, MetaTensor], room: int) -> Need:
    """Return a need of which only the preparing is known.

    Args:
        steps: The preprocessing.
        images: Key to (C, I, J, K) or (C, I, J), in the geometry of the input.
        room: Bytes of the host that may be taken.

    Raises:
        MemoryLimitError: It won't fit.
    """
    from monai.transforms import Compose

    given = sum(image.numel() for image in images.values())
    prepared = sum(math.prod(shape) for shape in _shapes(steps, images))
    is_greedy = type(steps) is Compose and any(type(step).__name__.startswith(GREEDY) for step, _ in each_step(steps))
    need = Need(0, 0, 0, cells=0, preparing=FLOAT * max(given + prepared, COPIES * prepared if is_greedy else 0))
    plan = Plan(_on_host(), 0, need, (room, room), None)
    if not fits(plan):
        raise MemoryLimitError(refusal(plan))
    return need


def _shapes(steps: Compose, images: Mapping[str, MetaTensor]) -> list[tuple[int, ...]]:
    """Return the shapes (C, I, J, K) in the grid that the steps lead to; unknown ones are taken to keep it."""
    from monai.transforms import Compose, Orientationd, Resized, Spacingd

    current: Any = {key: image.detach() for key, image in images.items()}
    for step, _ in each_step(steps) if type(steps) is Compose else ():
        if type(step) in (Orientationd, Spacingd, Resized) and set(step.keys) <= set(current):
            current = step(current, lazy=True)
    return [(len(image), *image.peek_pending_shape()) for image in current.values()]


def _on_host() -> Way:
    import torch

    host = torch.device("cpu")
    return Way(host, host, 1, torch.float32)
