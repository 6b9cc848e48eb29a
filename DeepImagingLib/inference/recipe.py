"""Read a bundle's post-processing: what may be done slab by slab, and what is left to run as the bundle has it.

Understood is MONAI's usual order, activation, inverse, decision, in which the inverse may also come last. What comes
after the decision sees labels or masks, and is run as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from DeepImagingLib.tasks.segmentation import Argmax, Reducer, Threshold

if TYPE_CHECKING:
    from monai.transforms import Compose


class NotUnderstood(Exception):
    """A chain can't be proved to give the same answer slab by slab; the message says why."""


@dataclass(frozen=True)
class Recipe:
    """A post-processing that was understood.

    Attributes:
        activation: "softmax", "sigmoid" or "" of the network's output, in the network's grid.
        after: "softmax" or "sigmoid" of the channels once they are mapped back, which the reducer allows for.
        reducer: What becomes of the channels; None where the chain leaves that to the task.
        inverse_first: True where channels are mapped back before the decision, False where labels or masks are,
            or nothing is.
        nearest: How that inverse interpolates.
        rest: Steps that run as they are on labels or masks.
    """

    activation: str = ""
    after: str = ""
    reducer: Reducer | None = None
    inverse_first: bool = False
    nearest: bool = False
    rest: tuple[Any, ...] = ()


def read_recipe(postprocessing: Compose, preprocessing: Compose, key: str, image_key: str) -> Recipe:
    """Return what a chain does with the prediction.

    Args:
        postprocessing: The chain.
        preprocessing: The one that its inverse must undo.
        key: Of the prediction.
        image_key: Of the image whose preprocessing is undone.

    Raises:
        NotUnderstood: A step before the reducer is none of the usual.
    """
    steps = [step for step in _flat(postprocessing) if not _is_neutral(step)]
    recipe = Recipe()
    while steps:
        step = steps.pop(0)
        kind = name_of(step)
        _check_keys(step, key)
        if kind == "Activationsd":
            if recipe.activation or recipe.after:
                raise NotUnderstood("it activates twice")
            activation = _activation(step)
            first = recipe.inverse_first
            recipe = replace(recipe, after=activation) if first else replace(recipe, activation=activation)
        elif kind == "Invertd" and not recipe.inverse_first:
            check_inverse(step, preprocessing, image_key)
            recipe = replace(recipe, inverse_first=True, nearest=bool(step.nearest_interp[0]))
        elif kind == "AsDiscreted":
            reducer = _decision(step, last=not steps)
            return replace(recipe, reducer=_before(reducer, recipe.after), rest=tuple(steps))
        else:
            raise NotUnderstood(f"{type(step).__name__} comes before the decision")
    if recipe.after:
        raise NotUnderstood("it leaves activated values")
    return recipe


def _flat(chain: Any) -> Iterator[Any]:
    from monai.transforms import Compose

    if chain.lazy is not False:
        raise NotUnderstood("its post-processing is lazy")
    for step in chain.transforms:
        if type(step) is Compose:
            yield from _flat(step)
        else:
            yield step


def _is_neutral(step: Any) -> bool:
    """Tell whether a step leaves values and grid as they are."""
    kind = name_of(step)
    if kind == "EnsureTyped":
        return set(step.dtype) == {None} and step.converter.data_type == "tensor"
    if kind == "ToTensord":
        return step.converter.dtype is None
    return kind in ("Identityd", "ToDeviced")


def name_of(step: Any) -> str:
    """Return the class of a step where it is MONAI's own, "" where it only may be called so."""
    return type(step).__name__ if type(step).__module__.startswith("monai.transforms.") else ""


def _check_keys(step: Any, key: str) -> None:
    if tuple(getattr(step, "keys", ())) != (key,):
        raise NotUnderstood(f"{type(step).__name__} is about more than the prediction")


def _activation(step: Any) -> str:
    asked = [name for name in ("softmax", "sigmoid") if getattr(step, name)[0]]
    if len(asked) > 1 or step.other[0] is not None or step.converter.kwargs:
        raise NotUnderstood("it has an activation of its own")
    return asked[0] if asked else ""


def check_inverse(step: Any, preprocessing: Compose, image_key: str) -> None:
    """Raise NotUnderstood unless an Invertd undoes the preprocessing of that image and nothing else."""
    if step.transform is not preprocessing or tuple(step.orig_keys) != (image_key,):
        raise NotUnderstood("its Invertd undoes something else than the preprocessing")
    if any(step.post_func):
        raise NotUnderstood("its Invertd has a function of its own")


def _decision(step: Any, *, last: bool) -> Reducer:
    argmax, onehot, threshold, rounding = (
        getattr(step, name)[0] for name in ("argmax", "to_onehot", "threshold", "rounding")
    )
    if rounding is not None or step.converter.kwargs:
        raise NotUnderstood("its AsDiscreted has unusual settings")
    # One channel a label means the same as labels, unless another step looks at it.
    if argmax and threshold is None and (onehot is None or last):
        return Argmax()
    if threshold is not None and not argmax and onehot is None:
        return Threshold(float(threshold), strict=False)
    raise NotUnderstood("its AsDiscreted has unusual settings")


def _before(reducer: Reducer, activation: str) -> Reducer:
    """Return the reducer on values that would be activated first; activations keep the order of values."""
    if not activation or isinstance(reducer, Argmax):
        return reducer
    if activation == "sigmoid" and 0 < reducer.value < 1:
        return replace(reducer, value=math.log(reducer.value / (1 - reducer.value)))
    raise NotUnderstood("its threshold is of activated values")
