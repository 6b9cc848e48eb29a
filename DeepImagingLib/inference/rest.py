"""Run what a bundle does to labels or masks, as it has it; nearest inverses of labels alone go by tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.inference.inverse import OUT, Inverse, NotSeparable, read_inverse
from DeepImagingLib.inference.recipe import NotUnderstood, check_inverse, name_of
from DeepImagingLib.tasks.segmentation import Masks

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from monai.transforms import Compose


def run_rest(
    answer: npt.NDArray[Any] | Masks,
    steps: Sequence[Any],
    data: Mapping[str, Any],
    key: str,
    image: MetaTensor,
    preprocessing: Compose,
    image_key: str,
) -> Any:
    """Return what is left after some steps.

    Args:
        answer: Labels (I, J, K), or masks, in the grid of `image`.
        steps: MONAI's dictionary transforms.
        data: The images they may look at, by name.
        key: Of the answer.
        image: In whose grid it is.
        preprocessing: Of the image under `image_key`: an inverse of it is known.
    """
    from monai.data import MetaTensor

    channels = (
        np.stack([answer[channel] for channel in range(len(answer))]) if isinstance(answer, Masks) else answer[None]
    )
    value: Any = MetaTensor(channels, affine=image.affine)
    for step in steps:
        known = name_of(step) == "Invertd" and tuple(step.keys) == (key,)
        inverse = _inverse_by_tables(step, data[image_key], preprocessing, image_key) if known else None
        if inverse is not None:
            value = MetaTensor(_nearest(np.asarray(value), inverse), affine=inverse.affine)
            continue
        value = value.float() if not value.is_floating_point() else value
        value = step({**data, key: value})[key]
    return value


def _inverse_by_tables(invert: Any, image: MetaTensor, preprocessing: Compose, image_key: str) -> Inverse | None:
    """Return the tables of an inverse by nearest voxel, None where it has to be MONAI's own."""
    if not invert.nearest_interp[0]:
        return None
    try:
        check_inverse(invert, preprocessing, image_key)
        return read_inverse(image, nearest=True)
    except (NotSeparable, NotUnderstood):
        return None


def _nearest(channels: npt.NDArray[Any], inverse: Inverse) -> npt.NDArray[Any]:
    """Return (C, I, J, K) in the grid of the inverse."""
    for axis in inverse.axes:
        dim = axis.source + 1
        channels = channels.take(axis.first.clip(0), axis=dim)
        outside = (slice(None),) * dim + (axis.first == OUT,)
        channels[outside] = 0
    order = [0, *(axis.source + 1 for axis in inverse.axes)]
    return np.ascontiguousarray(channels.transpose(order))
