"""Give a picture the channels that a classifier takes, where that can be done without inventing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib import files
from DeepImagingLib.errors import InputError

if TYPE_CHECKING:
    from monai.data import MetaTensor

RGB = 3


def with_channels(image: MetaTensor, count: int, name: str) -> tuple[MetaTensor, list[str]]:
    """Return a picture or volume (C, I, J[, K]) with `count` channels, and a note where it had others.

    A grey one is repeated for a network that takes colours; a coloured one whose channels are all the same is grey.

    Raises:
        InputError: It has other channels.
    """
    has = len(image)
    if has == count:
        return image, []
    if (has, count) == (1, RGB):
        return _like(image, np.repeat(image.numpy(), RGB, axis=0)), [
            f"{name.capitalize()} is grey; its one channel was repeated for red, green and blue."
        ]
    if (has, count) == (RGB, 1) and _is_grey(image):
        return _like(image, image.numpy()[:1]), []
    raise InputError(
        f"{name.capitalize()} has {has} channel{'s' if has != 1 else ''}, but the model takes {count}; give an image "
        f"{'in colour (RGB) or in grey' if count == RGB else 'in grey' if count == 1 else f'of {count} channels'}."
    )


def _is_grey(image: MetaTensor) -> bool:
    values = image.numpy()
    return bool((values[0] == values[1]).all() and (values[0] == values[2]).all())


def _like(image: MetaTensor, values: npt.NDArray[Any]) -> MetaTensor:
    return files.as_image(values, np.asarray(image.affine), image.meta.get(files.NOTE_KEY) or "")
