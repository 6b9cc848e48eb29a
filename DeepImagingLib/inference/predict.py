"""From images to an answer in the grid of the input: swept slab by slab, or as the bundle has it where that can't be.

This is the one place where the pieces of a bundle run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError, DeepImagingError, MemoryLimitError
from DeepImagingLib.inference.inverse import NotSeparable
from DeepImagingLib.inference.ladder import Way
from DeepImagingLib.inference.memory import is_out_of_memory
from DeepImagingLib.inference.network import Caller, UnknownOutput, padded
from DeepImagingLib.inference.recipe import NotUnderstood, Recipe, read_recipe
from DeepImagingLib.inference.rest import run_rest
from DeepImagingLib.inference.stock import located, on_grid, run_as_it_is
from DeepImagingLib.inference.swept import Run, Swept, inverse_of
from DeepImagingLib.inference.windows import UnknownInferer, Windows, count_windows, windows_of
from DeepImagingLib.tasks.segmentation import Masks, Reducer, reducer_for

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle, Pipeline
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.options import Options


@dataclass(frozen=True)
class Prediction:
    """What a bundle says of an image.

    Attributes:
        answer: (C, I, J, K), or masks, in the grid of the input, as the task decodes them.
        volumes: Channel to (I, J, K) float32, of the channels that were asked for.
        device: Where it was computed in the end.
        precision: "full", or the name of the arithmetic.
        memory_step: What gave when memory ran out.
        notes: What is to be told.
    """

    answer: npt.NDArray[Any] | Masks
    volumes: Mapping[int, npt.NDArray[np.float32]] = field(default_factory=dict)
    device: str = "cpu"
    precision: str = "full"
    memory_step: str = "as planned"
    notes: tuple[str, ...] = ()


def predict(
    bundle: Bundle,
    pipeline: Pipeline,
    images: Mapping[str, MetaTensor],
    device: torch.device,
    monitor: Monitor,
    options: Options,
    channels: Sequence[int] = (),
) -> Prediction:
    """Run a bundle.

    Args:
        bundle: Names the keys under which images and prediction travel.
        pipeline: Built from it for `device`.
        images: Image key to (C, I, J, K) in the geometry of the input.
        device: Where the network is.
        monitor: Told of each stage and window.
        options: How to run.
        channels: Whose volumes are wanted.

    Raises:
        MemoryLimitError: Host or GPU memory ran out.
        BundleError: A step of the bundle fails on this input.
        CancelledError: The monitor was told to stop.
    """
    import torch

    try:
        with torch.inference_mode():
            return _predict(bundle, pipeline, images, device, monitor, options, channels)
    except DeepImagingError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryLimitError(
                f"The run needs more memory than {device} has; limit it to a region, close other programs or use "
                "another device."
            ) from error
        reason = _cause(error)
        raise BundleError(
            f"The bundle {bundle.name!r} failed on this input ({reason}); check that it fits the model."
        ) from error


def _predict(
    bundle: Bundle,
    pipeline: Pipeline,
    images: Mapping[str, MetaTensor],
    device: torch.device,
    monitor: Monitor,
    options: Options,
    channels: Sequence[int],
) -> Prediction:
    with monitor.stage("Preprocessing"):
        data = dict(pipeline.preprocessing(dict(images)))
    prepared = data[bundle.input_key]
    reference = next(iter(images.values()))
    try:
        recipe = read_recipe(pipeline.postprocessing, pipeline.preprocessing, bundle.pred_key, bundle.input_key)
        windows = windows_of(pipeline.inferer, prepared.shape[1:])
        swept = _swept(bundle, pipeline, prepared, recipe, windows, device, monitor, options, channels)
    except (NotUnderstood, UnknownInferer, NotSeparable, UnknownOutput) as reason:
        note = f"The bundle was run on all channels at once, as it is: {reason}."
        final = run_as_it_is(
            bundle, pipeline, data, device, monitor, count_windows(prepared.shape[1:], pipeline.inferer)
        )
        with monitor.stage("Post-processing"):
            answer, notes = on_grid(located(final, (reference, prepared)), reference)
        return Prediction(answer.numpy(), device=str(device), notes=(note, *notes))
    with monitor.stage("Post-processing"):
        answer, notes = _finished(swept, recipe, data, bundle, reference)
    way = swept.way
    return Prediction(answer, swept.volumes, str(way.device), way.precision, way.step, tuple(notes))


def _swept(
    bundle: Bundle,
    pipeline: Pipeline,
    image: MetaTensor,
    recipe: Recipe,
    windows: Windows,
    device: torch.device,
    monitor: Monitor,
    options: Options,
    channels: Sequence[int],
) -> Swept:
    import torch

    way = Way(device, device, windows.batch, torch.float32)
    mirror = tuple("ijk".index(letter) for letter in options.tta)
    caller = Caller(pipeline.network, windows, padded(image.as_tensor(), windows), device, way.dtype, mirror)

    def reducer(count: int) -> Reducer:
        return recipe.reducer or reducer_for(count, bundle.labels, bundle.exclusive)

    run = Run(caller, recipe, inverse_of(image, recipe, windows), reducer, lambda count: channels, way)
    with monitor.stage("Network"):
        return run.go(monitor)


def _finished(
    swept: Swept, recipe: Recipe, data: Mapping[str, Any], bundle: Bundle, reference: MetaTensor
) -> tuple[npt.NDArray[Any] | Masks, list[str]]:
    """Return the answer in the reference's grid, after what the bundle does to labels or masks."""
    answer = swept.answer
    if recipe.inverse_first and not recipe.rest:
        return (answer if isinstance(answer, Masks) else answer[None]), []
    prepared = data[bundle.input_key]
    final = run_rest(answer, recipe.rest, data, bundle.pred_key, reference if recipe.inverse_first else prepared)
    placed, notes = on_grid(located(final, (reference, prepared)), reference)
    return placed.numpy(), notes


def _cause(error: BaseException) -> str:
    """Return the first line of the innermost error: MONAI wraps what a transform raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
