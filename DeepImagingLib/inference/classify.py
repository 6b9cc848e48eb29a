"""From images to probabilities: of a picture, of a volume, of each slice of one, or of a large picture's patches."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError, InputError, MemoryLimitError
from DeepImagingLib.files import as_image
from DeepImagingLib.inference.answer import Answer
from DeepImagingLib.inference.answers import Answers, Numbers, label_names, makes_probabilities, read_answers
from DeepImagingLib.inference.ladder import half_of
from DeepImagingLib.inference.plan import InParts, limits
from DeepImagingLib.inference.predict import told_plainly
from DeepImagingLib.inference.preprocess import preprocess
from DeepImagingLib.inference.upright import turn_of
from DeepImagingLib.tasks.classification import likeness_of, unlikeness

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle, Pipeline
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.options import Options

log = logging.getLogger(__name__)

Images = Mapping[str, "MetaTensor"]
AT_ONCE = 16
"""Slices or patches that go through the network together."""
COPIES = 3
"""Of an image that preprocessing may hold at a time."""


@dataclass(frozen=True)
class Said(Answer):
    """What a classifier says.

    Attributes:
        names: Of the labels.
        probabilities: (N, labels), a row a part.
        answers: How the network's outputs were read.
        parts: What was looked at.
        unlike: How unlike the images of the training the input is; None where the bundle doesn't tell.
    """

    names: tuple[str, ...]
    probabilities: Numbers
    answers: Answers
    parts: Parts
    unlike: float | None = None


class Parts:
    """What of the images the network sees one after the other: all at once, slices, or patches.

    Pictures and slices are turned upright, see `upright`, and lie in a plane of their own; volumes stay where they are.

    Args:
        images: Image key to (C, I, J) or (C, I, J, K).
        dims: Axes that the network works on.
        patch: Size of the patches that a large picture is cut into; None where it is seen as a whole.
    """

    def __init__(self, images: Images, dims: int, patch: tuple[int, ...] | None = None) -> None:
        first = next(iter(images.values()))
        self._turn = turn = turn_of(np.asarray(first.affine, np.float64)) if dims == 2 else None
        self._images = {key: turn.upright(image.numpy()) if turn else image for key, image in images.items()}
        shape = next(iter(self._images.values())).shape[1:]
        self.sliced = dims == 2 and len(shape) == 3
        self.starts = _starts(tuple(shape), patch) if patch else []
        self.patch = patch if self.starts else None
        self._count = len(self.starts) or (shape[-1] if self.sliced else 1)

    def __len__(self) -> int:
        return self._count

    @property
    def word(self) -> str:
        """What one of them is called."""
        return "patch" if self.patch else "slice" if self.sliced else "image"

    def __getitem__(self, number: int) -> dict[str, MetaTensor]:
        """Return one, by image key; a copy but where it is all of the images and lay upright already."""
        return {key: self._cut(image, number) for key, image in self._images.items()}

    def _cut(self, image: Any, number: int) -> MetaTensor:
        if self._turn is None:
            whole: MetaTensor = image
            return whole
        place = self._turn.affine
        if self.sliced:
            return as_image(image[..., number].copy(), place)
        if self.patch:
            i, j = self.starts[number]
            place[:, 3] = place @ [i, j, 0, 1]
            return as_image(image[:, i : i + self.patch[0], j : j + self.patch[1]].copy(), place)
        return as_image(image, place)

    def back(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return values (I, J, K) in the input's grid of those in a part's, of a picture or slice K = 1."""
        return values if self._turn is None else np.ascontiguousarray(self._turn.back(values))

    def map_of(self, values: Numbers) -> npt.NDArray[np.float32]:
        """Return (I, J, 1) with each patch's value at its place; where patches overlap, their mean."""
        assert self.patch is not None
        shape = next(iter(self._images.values())).shape[1:3]
        total, count = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for (i, j), value in zip(self.starts, values, strict=True):
            place = (slice(i, i + self.patch[0]), slice(j, j + self.patch[1]))
            total[place] += value
            count[place] += 1
        return self.back(np.asarray(total / np.maximum(count, 1), np.float32)[..., None])


def _starts(shape: tuple[int, ...], patch: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return where patches begin that cover a picture, the last ones moved inwards; none where one is as large."""
    if any(n < p for n, p in zip(shape, patch, strict=True)) or shape == patch:
        return []
    firsts = [[*range(0, n - p, p), n - p] for n, p in zip(shape, patch, strict=True)]
    return [(i, j) for i in firsts[0] for j in firsts[1]]


def classify(
    bundle: Bundle, pipeline: Pipeline, images: Images, device: torch.device, monitor: Monitor, options: Options
) -> Said:
    """Run a classifier.

    Args:
        bundle: Names the keys under which images and prediction travel.
        pipeline: Built from it for `device`.
        images: Image key to (C, I, J, K), or (C, I, J), in the geometry of the input.
        device: Where the network is.
        monitor: Told of each stage and of each batch.
        options: How to run.

    Raises:
        InputError: Something is asked for that classifiers have not.
        MemoryLimitError: It won't fit.
        BundleError: A step of the bundle fails on this input, or its answer isn't one number a label.
        CancelledError: The monitor was told to stop.
    """
    import torch

    with told_plainly(bundle, device), torch.no_grad():
        parts = parts_of(bundle, images, device, options)
        call = _Network(bundle, pipeline, device, options.precision == "half")
        rows: list[torch.Tensor] = []
        for first in range(0, len(parts), AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, len(parts)))
            with monitor.stage("Preprocessing"):
                batch = [prepared(bundle, pipeline, parts, number, monitor) for number in numbers]
            with monitor.stage("Network"):
                monitor.update(first / len(parts))
                rows.extend(call(batch))
        outputs = torch.stack(rows)
        names = label_names(bundle.labels, outputs.shape[1], bundle.name)
        done = makes_probabilities(pipeline.network)
        answers = read_answers(pipeline.postprocessing, bundle.pred_key, len(names), done)
        probabilities = answers.probabilities(outputs)
    if not np.isfinite(probabilities).all():
        raise BundleError(f"The bundle {bundle.name!r} answers with values that are not numbers; its weights are bad.")
    least = likeness_of(bundle.metadata, names)
    kept = slice(None) if least is None else slice(-1)
    return Said(
        names[kept],
        probabilities[:, kept],
        answers,
        parts,
        None if least is None else unlikeness(probabilities[:, -1], least),
        device=str(device),
        precision=call.precision,
        plan=_plan(parts, device),
        notes=tuple(filter(None, [answers.doubt(outputs)])),
    )


def foresee_parts(bundle: Bundle, images: Images, device: torch.device, options: Options) -> InParts:
    """Return how a run will go; raises as `parts_of` does."""
    return InParts(_plan(parts_of(bundle, images, device, options), device))


def parts_of(bundle: Bundle, images: Images, device: torch.device, options: Options) -> Parts:
    """Return what the network is to see.

    Raises:
        InputError: Something is asked for that classifiers have not.
        MemoryLimitError: It won't fit.
    """
    if options.tta or options.probabilities:
        word = "tta" if options.tta else "probabilities"
        raise InputError(f"Classifiers have no {word}; leave it out (heatmaps show what they saw).")
    image = next(iter(images.values()))
    shape = tuple(image.shape[1:])
    parts = Parts(images, bundle.spatial_dims, bundle.patch)
    needed = COPIES * 4 * sum(one.numel() for one in images.values()) // (len(parts) if len(parts) > 1 else 1)
    allowed = limits(device, options.memory_limit)[1]
    if needed > allowed:
        raise MemoryLimitError(
            f"The input of {_by(shape)} voxels needs {needed / 1e9:.1f} GB to be prepared, but {allowed / 1e9:.1f} GB "
            "may be taken; make it smaller, limit it to a region, or raise the memory limit."
        )
    return parts


def prepared(bundle: Bundle, pipeline: Pipeline, parts: Parts, number: int, monitor: Monitor) -> MetaTensor:
    """Return what goes into the network of one part (C, I, J) or (C, I, J, K), by the bundle's preprocessing."""
    import torch
    from monai.data import MetaTensor

    if len(parts) > 1:
        monitor.ask()
        made = pipeline.preprocessing(parts[number])
    else:
        made = preprocess(pipeline.preprocessing, parts[number], monitor)
    image = made[bundle.input_key]
    return image if isinstance(image, MetaTensor) else MetaTensor(torch.as_tensor(image))


class _Network:
    """Calls the network on a batch as the bundle's inferer does."""

    def __init__(self, bundle: Bundle, pipeline: Pipeline, device: torch.device, half: bool) -> None:
        import torch

        self._bundle, self._pipeline, self._device = bundle, pipeline, device
        self._dtype = half_of(device) if half else torch.float32
        self.precision = str(self._dtype).removeprefix("torch.") if half else "full"

    def __call__(self, batch: Sequence[MetaTensor]) -> Iterator[torch.Tensor]:
        """Yield outputs (labels,) of images (C, I, J) or (C, I, J, K)."""
        import torch

        tensors = [image.as_tensor() for image in batch]
        same = len({tensor.shape for tensor in tensors}) == 1
        for group in [tensors] if same else [[tensor] for tensor in tensors]:
            with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
                answer = self._pipeline.inferer(torch.stack(group).float().to(self._device), self._pipeline.network)
            yield from self._taken(answer, len(group))

    def _taken(self, answer: Any, count: int) -> torch.Tensor:
        """Return outputs (N, labels): networks may give what they saw on the way as well."""
        import torch

        answer = answer[0] if isinstance(answer, (tuple, list)) else answer
        if not isinstance(answer, torch.Tensor) or len(answer) != count or math.prod(answer.shape[2:]) != 1:
            told = "×".join(map(str, answer.shape)) if isinstance(answer, torch.Tensor) else type(answer).__name__
            raise BundleError(f"The network of {self._bundle.name!r} answers with {told}, not with one number a label.")
        return answer.reshape(count, -1).float().cpu()


def _plan(parts: Parts, device: torch.device) -> str:
    count = len(parts)
    word = parts.word if count == 1 else {"patch": "patches"}.get(parts.word, f"{parts.word}s")
    return f"{count} {word} on {device}, {min(count, AT_ONCE)} at once."


def _by(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
