"""From images to an answer in the grid of the input: swept slab by slab, or as the bundle has it where that can't be.

This is the one place where the pieces of a bundle run.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError, DeepImagingError, InputError, MemoryLimitError
from DeepImagingLib.inference.answer import Answer
from DeepImagingLib.inference.inverse import NotSeparable
from DeepImagingLib.inference.ladder import AS_PLANNED, Way, descend
from DeepImagingLib.inference.memory import is_out_of_memory
from DeepImagingLib.inference.network import Caller, UnknownOutput, mirror_axes, padded
from DeepImagingLib.inference.plan import AsItIs, Plan, limits, make_plan, need_of, starting_way
from DeepImagingLib.inference.preprocess import preprocess
from DeepImagingLib.inference.probe import Probe, probe
from DeepImagingLib.inference.recipe import NotUnderstood, Recipe, read_recipe
from DeepImagingLib.inference.rest import run_rest
from DeepImagingLib.inference.stock import located, on_grid, run_as_it_is
from DeepImagingLib.inference.swept import Run, Swept, decided, inverse_of
from DeepImagingLib.inference.windows import UnknownInferer, count_windows, windows_of
from DeepImagingLib.tasks.groups import layers_for
from DeepImagingLib.tasks.segmentation import BITS, Argmax, Masks, Reducer, Threshold, reducer_for

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Compose

    from DeepImagingLib.bundles import Bundle, Pipeline
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.options import Options

log = logging.getLogger(__name__)

NOT_SWEPT = (NotUnderstood, UnknownInferer, NotSeparable, UnknownOutput)
"""Why a bundle is run as it is."""


@dataclass(frozen=True)
class Prediction(Answer):
    """What a bundle says of an image.

    Attributes:
        answer: (C, I, J, K), or masks, in the grid of the input, as the task decodes them.
        volumes: Label to (I, J, K) float32, of those that were asked for.
    """

    answer: npt.NDArray[Any] | Masks
    volumes: Mapping[int, npt.NDArray[np.float32]] = field(default_factory=dict)


def predict(
    bundle: Bundle,
    pipeline: Pipeline,
    images: Mapping[str, MetaTensor],
    device: torch.device,
    monitor: Monitor,
    options: Options,
    channels: Sequence[int] = (),
    voxels: int = 0,
) -> Prediction:
    """Run a bundle.

    Args:
        bundle: Names the keys under which images and prediction travel.
        pipeline: Built from it for `device`.
        images: Image key to (C, I, J, K) in the geometry of the input.
        device: Where the network is.
        monitor: Told of each stage and window.
        options: How to run.
        channels: Labels whose volumes are wanted.
        voxels: Of the result in the end, where the images are a region of it.

    Raises:
        MemoryLimitError: Host or GPU memory ran out.
        BundleError: A step of the bundle fails on this input.
        CancelledError: The monitor was told to stop.
    """
    import torch

    with told_plainly(bundle, device), torch.inference_mode():
        return _predict(bundle, pipeline, images, device, monitor, options, channels, voxels)


@contextmanager
def told_plainly(bundle: Bundle, device: torch.device) -> Iterator[None]:
    """Turn whatever a bundle raises into one sentence."""
    try:
        yield
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
    voxels: int,
) -> Prediction:
    with monitor.stage("Preprocessing"):
        data = preprocess(pipeline.preprocessing, images, monitor)
    prepared = data[bundle.input_key]
    reference = next(iter(images.values()))
    try:
        with monitor.stage("Network"):
            count = max(voxels, math.prod(reference.shape[1:]))
            ready = _ready(bundle, pipeline, prepared, device, monitor, options, channels, count)
            swept = ready.run.go(monitor)
            swept = swept if prepared.ndim == 4 else swept.as_picture()
    except NOT_SWEPT as reason:
        note = f"The bundle was run on all channels at once, as it is: {reason}."
        note += " That gives no probability volumes." if channels else ""
        note += " It was not run mirrored as well." if options.tta else ""
        note += " It computed in full precision." if options.precision == "half" else ""
        final = run_as_it_is(
            bundle, pipeline, data, device, monitor, count_windows(prepared.shape[1:], pipeline.inferer)
        )
        with monitor.stage("Post-processing"):
            answer, notes = on_grid(located(final, (reference, prepared)), reference)
        plan = AsItIs(str(reason)).sentence
        return Prediction(answer.numpy(), device=str(device), plan=plan, notes=(note, *notes))
    with monitor.stage("Post-processing"):
        answer, notes = _finished(swept, ready.recipe, data, bundle, pipeline.preprocessing, reference)
    way = swept.way
    return Prediction(
        answer,
        swept.volumes,
        device=str(way.device),
        precision=way.precision,
        memory_step=way.step,
        plan=ready.plan.sentence,
        notes=(*ready.notes, *notes),
    )


def foresee(
    bundle: Bundle,
    pipeline: Pipeline,
    images: Mapping[str, MetaTensor],
    device: torch.device,
    monitor: Monitor,
    options: Options,
    channels: Sequence[int] = (),
    voxels: int = 0,
) -> Plan | AsItIs:
    """Return how a run will go, without running it but for one window; arguments and errors as of `predict`."""
    import torch

    with told_plainly(bundle, device), torch.inference_mode():
        with monitor.stage("Preprocessing"):
            prepared = preprocess(pipeline.preprocessing, images, monitor)[bundle.input_key]
        with monitor.stage("Network"):
            try:
                count = max(voxels, math.prod(next(iter(images.values())).shape[1:]))
                return _ready(bundle, pipeline, prepared, device, monitor, options, channels, count).plan
            except NOT_SWEPT as reason:
                return AsItIs(str(reason))


@dataclass(frozen=True)
class Ready:
    """A sweep about to run, what becomes of its answer, what was planned, and what is to be told."""

    run: Run
    recipe: Recipe
    plan: Plan
    notes: tuple[str, ...]


def _ready(
    bundle: Bundle,
    pipeline: Pipeline,
    image: MetaTensor,
    device: torch.device,
    monitor: Monitor,
    options: Options,
    channels: Sequence[int],
    voxels: int,
) -> Ready:
    """Return a sweep that is planned, its first window tried.

    Raises:
        NotUnderstood, UnknownInferer, NotSeparable, UnknownOutput: The bundle can't be swept.
        MemoryLimitError: It won't fit.
    """
    recipe = read_recipe(pipeline.postprocessing, pipeline.preprocessing, bundle.pred_key, bundle.input_key)
    windows = windows_of(pipeline.inferer, image.shape[1:])
    inverse = inverse_of(image, windows, mapped_back=recipe.inverse_first, nearest=recipe.nearest)
    back, notes = inverse, []
    if channels and not recipe.inverse_first:  # labels are mapped back later; volumes never are
        try:
            back = inverse_of(image, windows, mapped_back=True, nearest=False)
        except NotSeparable as reason:
            channels, notes = (), [f"No probability volumes can be given: {reason}."]
    if options.tta:
        notes.append("It was run mirrored as well, which only suits a model that was trained on mirrored images.")
    way = starting_way(device, windows, options.precision)
    mirror = mirror_axes(options.tta, windows)
    caller = Caller(
        pipeline.network, windows, padded(image.as_tensor(), windows), device, way.dtype, monitor.ask, mirror
    )

    def reducer_of(count: int) -> Reducer:
        return recipe.reducer or reducer_for(count, bundle.labels, bundle.exclusive)

    def first(way: Way) -> Probe:
        return probe(caller, way, lambda output: decided(output, recipe, reducer_of(output.shape[1])))

    told, tried = descend(replace(way, batch=1), first, lambda lower: caller.use(lower.device, lower.dtype))
    way = way if tried.step == AS_PLANNED else tried
    reducer = reducer_of(told.channels)
    shown = _channels_of(channels, told.channels)
    masks = _bytes_of_label(bundle) if isinstance(reducer, Argmax) else -(-told.channels // BITS)
    if isinstance(reducer, Threshold) and recipe.rest:  # whose steps see all masks at once, as floats
        masks += 5 * told.channels
    need = need_of(windows, told, voxels, masks, len(shown))
    plan = make_plan(way, windows, told, need, limits(way.device, options.memory_limit))
    caller.use(plan.way.device, plan.way.dtype)
    log.info("%s: %s", bundle.name, plan.sentence)
    run = Run(caller, recipe, inverse, back, reducer, told.channels, shown, plan.way)
    return Ready(run, recipe, plan, tuple(notes))


def _bytes_of_label(bundle: Bundle) -> int:
    """Return the bytes that exclusive labels take for a voxel; groups are put behind a copy of them."""
    further = layers_for(bundle.groups)
    return 2 + further if further else 1


def _channels_of(labels: Sequence[int], count: int) -> dict[int, int]:
    """Return label → channel of a network with `count` channels; the only one stands for the only label.

    Raises:
        InputError: There is no such channel.
    """
    if count == 1:
        return dict.fromkeys(labels, 0)
    beyond = [label for label in labels if label >= count]
    if beyond:
        raise InputError(
            f"The network has {count} channels and none for label {beyond[0]}; ask for other probabilities."
        )
    return {label: label for label in labels}


def _finished(
    swept: Swept,
    recipe: Recipe,
    data: Mapping[str, Any],
    bundle: Bundle,
    preprocessing: Compose,
    reference: MetaTensor,
) -> tuple[npt.NDArray[Any] | Masks, list[str]]:
    """Return the answer in the reference's grid, after what the bundle does to labels or masks."""
    answer = swept.answer
    if recipe.inverse_first and not recipe.rest:
        return (answer if isinstance(answer, Masks) else answer[None]), []
    prepared = data[bundle.input_key]
    grid = reference if recipe.inverse_first else prepared
    if isinstance(answer, Masks) and not recipe.rest:
        return _masks_on_grid(answer, grid, reference)
    final = run_rest(answer, recipe.rest, data, bundle.pred_key, grid, preprocessing, bundle.input_key)
    placed, notes = on_grid(located(final, (reference, prepared)), reference)
    return placed.numpy(), notes


def _masks_on_grid(masks: Masks, grid: MetaTensor, reference: MetaTensor) -> tuple[Masks, list[str]]:
    """Return masks in the reference's grid, one after the other."""
    from monai.data import MetaTensor

    placed = Masks(len(masks), tuple(reference.shape[1:]))
    notes: list[str] = []
    for channel in range(len(masks)):
        mask, notes = on_grid(MetaTensor(masks[channel][None], affine=grid.affine), reference)
        placed.put(channel, mask.numpy()[0] > 0)
    return placed, notes


def _cause(error: BaseException) -> str:
    """Return the first line of the innermost error: MONAI wraps what a transform raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
