"""What a host is asked to do: a job performs itself, with models that are kept warm."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from DeepImagingLib.hosts.outlook import Outlook, outlook_of
from DeepImagingLib.inference.progress import Progress
from DeepImagingLib.options import Options
from DeepImagingLib.results import Classification, Detections, Result

if TYPE_CHECKING:
    from DeepImagingLib.bundles import Bundle
    from DeepImagingLib.files import Voxels
    from DeepImagingLib.hosts.warm import WarmModels
    from DeepImagingLib.tasks.measures import Measure


@dataclass(frozen=True)
class Context:
    """What a host gives to a job.

    Attributes:
        models: Loads bundles and builds them, or gives those that are warm already.
        progress: To be told of each step.
        cancel: To be asked at each step; the job stops where it answers True.
    """

    models: WarmModels
    progress: Callable[[Progress], None]
    cancel: Callable[[], bool]


class Job(Protocol):
    """Something to be done. It crosses a process boundary: it pickles, and so does what it returns."""

    def perform(self, context: Context) -> Any:
        """Do it; raises a DeepImagingError where that fails, CancelledError where the context asks to stop."""


@dataclass(frozen=True)
class Outcome:
    """What a run gives to those who show it.

    Attributes:
        result: In the geometry of the input; its arrays lie in memory as Slicer keeps them, I fastest.
        measures: Of each segment, on the first input; none of boxes.
    """

    result: Result
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class OnImages:
    """A bundle and images in memory or in files.

    Attributes:
        model: A bundle's name or folder.
        inputs: One image, or input names to images.
        options: How to run.
        trust: Digest of a bundle that is let through unjudged.
    """

    model: str | Path
    inputs: Voxels | Path | Mapping[str, Voxels | Path] = field(repr=False)
    options: Options = field(default_factory=Options)
    trust: str | None = None

    def _taken(self, context: Context) -> tuple[Bundle, Any]:
        """Return the bundle and its images."""
        if "monai.transforms" not in sys.modules:
            context.progress(Progress("Loading libraries", 0.0))
            importlib.import_module("monai.transforms")  # seconds, which the first stage would seem to take
        context.progress(Progress("Taking the images", 0.0))
        return context.models.load(self.model, self.trust), _images(self.inputs)


@dataclass(frozen=True)
class RunJob(OnImages):
    """One run of a bundle."""

    def perform(self, context: Context) -> Outcome:
        """Run; raises what `DeepImagingLib.run` raises."""
        bundle, images = self._taken(context)
        from DeepImagingLib.road import run
        from DeepImagingLib.tasks.measures import measure

        result = run(bundle, images, self.options, context.progress, context.cancel, build=context.models.build)
        if isinstance(result, Detections):
            return Outcome(replace(result, heatmap=_in_order(result.heatmap)), ())
        if isinstance(result, Classification):
            return Outcome(_heatmaps_in_order(result), ())
        reference = next(iter(images.values())) if isinstance(images, Mapping) else images
        measures = measure(result, reference, bundle.modality)
        layers, probability = _as_slicer_keeps(result.layers), _in_order(result.probability)
        return Outcome(replace(result, layers=layers, probability=probability), measures)


@dataclass(frozen=True)
class PlanJob(OnImages):
    """What a run would do and take, told without running it."""

    def perform(self, context: Context) -> Outlook:
        """Plan; raises what `DeepImagingLib.plan` raises."""
        bundle, images = self._taken(context)
        from DeepImagingLib.road import plan

        return outlook_of(
            plan(bundle, images, self.options, context.progress, context.cancel, build=context.models.build)
        )


@dataclass(frozen=True)
class EntropyJob(OnImages):
    """How unsure a model is of a study."""

    def perform(self, context: Context) -> float:
        """Measure it; raises what `DeepImagingLib.road.mean_entropy` raises."""
        bundle, images = self._taken(context)
        from DeepImagingLib.road import mean_entropy

        return mean_entropy(bundle, images, self.options, context.progress, context.cancel, build=context.models.build)


def _images(inputs: Any) -> Any:
    """Return images (C, I, J, K) for what came as voxels or as files."""
    from DeepImagingLib import files

    if isinstance(inputs, Mapping):
        return {name: _images(given) for name, given in inputs.items()}
    return files.read(inputs) if isinstance(inputs, Path) else inputs.image()


def _heatmaps_in_order(result: Classification) -> Classification:
    maps = tuple(replace(heat, values=_as_slicer_keeps(heat.values[None])[0]) for heat in result.heatmaps)
    return replace(result, heatmaps=maps)


def _in_order(volumes: Mapping[str, Any]) -> dict[str, Any]:
    """Return volumes (I, J, K) by name, I fastest."""
    return {name: np.asfortranarray(values) for name, values in volumes.items()}


def _as_slicer_keeps(layers: Any) -> Any:
    """Return (L, I, J, K) laid out with I fastest, so that whoever makes nodes of it copies memory as it lies."""
    return np.ascontiguousarray(layers.transpose(0, 3, 2, 1)).transpose(0, 3, 2, 1)
