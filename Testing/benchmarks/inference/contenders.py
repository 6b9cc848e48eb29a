"""Who runs: this library, stock MONAI, and the network alone. Each makes ready and returns what one run does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from Testing.benchmarks.inference.clock import Clock

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.bundles import Bundle, Pipeline


@dataclass(frozen=True)
class Task:
    """What one process is to do.

    Attributes:
        case, contender, device: By name.
        bundle, scan: Folder and file.
        output: An empty folder.
        started: When the process was started, as `time.time()` tells it.
    """

    case: str
    contender: str
    device: str
    bundle: str
    scan: str
    output: str
    started: float


Once = Callable[[], Path | None]
"""One run; returns the mask that it wrote."""


def ours(task: Task, clock: Clock, *, precision: str) -> Once:
    from DeepImagingLib import Options, files, load_bundle, run
    from DeepImagingLib.hosts.lean import keep_monai_lean
    from DeepImagingLib.hosts.warm import WarmModels

    keep_monai_lean()  # as the command line and the worker have it

    bundle, models = load_bundle(task.bundle), WarmModels()
    options, mask = Options(device=task.device, precision=precision), Path(task.output) / "labels.nii.gz"

    def build(bundle: Bundle, device: torch.device) -> Pipeline:
        pipeline = models.build(bundle, device)
        clock.watch(pipeline.network)
        return pipeline

    def once() -> Path:
        with clock.stage("Reading"):
            image = files.read(task.scan)
        result = run(bundle, image, options, build=build)
        clock.seconds.update(result.provenance.seconds)
        with clock.stage("Writing"):
            files.SEGMENTATION_WRITERS[".nii.gz"](result, mask)
        return mask

    return once


def stock(task: Task, clock: Clock, **overrides: Any) -> Once:
    from monai.transforms import LoadImaged, SaveImaged

    from Testing.inference.stock import stock_workflow

    output = Path(task.output)
    workflow = stock_workflow(
        Path(task.bundle), [Path(task.scan)], output, device=f"$torch.device('{task.device}')", **overrides
    )
    workflow.initialize()
    names = ("preprocessing", "inferer", "postprocessing", "evaluator")
    before, inferer, after, evaluator = (workflow.parser.get_parsed_content(name) for name in names)
    for thing, stage in ((before, "Preprocessing"), (inferer, "Network"), (after, "Post-processing")):
        clock.time_calls(thing, stage)
    for step in (*before.transforms, *after.transforms):
        if isinstance(step, LoadImaged | SaveImaged):
            clock.time_calls(step, "Reading" if isinstance(step, LoadImaged) else "Writing")
    clock.watch(evaluator.network)

    def once() -> Path:
        evaluator.run()
        (mask,) = output.rglob("*.nii.gz")
        return mask

    return once


BUFFERED = {"inferer#buffer_steps": 1, "inferer#buffer_dim": -1, "inferer#device": "$torch.device('cpu')"}


def floor(task: Task, clock: Clock) -> Once:
    """The network alone, on windows of the shape, number and batch that the bundle's inferer asks for."""
    import torch

    from DeepImagingLib import files, load_bundle

    bundle = load_bundle(task.bundle)
    pipeline = bundle.build(task.device)
    batches: list[torch.Size] = []

    def note(batch: torch.Tensor) -> torch.Tensor:
        batches.append(batch.shape)
        return batch[:, :1]

    prepared = pipeline.preprocessing({bundle.image_keys[0]: files.read(task.scan)})[bundle.input_key]
    pipeline.inferer(prepared[None], note)
    clock.watch(pipeline.network)

    @torch.inference_mode()
    def once() -> None:
        with clock.stage("Network"):
            for shape in batches:
                pipeline.network(torch.randn(shape, device=task.device))
            if task.device != "cpu":
                torch.cuda.synchronize()

    return once


def bare(task: Task, clock: Clock) -> Once:
    """Imports, the network and one window: the memory that nobody can do without."""
    import torch

    from DeepImagingLib import load_bundle

    bundle = load_bundle(task.bundle)
    pipeline = bundle.build(task.device)

    @torch.inference_mode()
    def once() -> None:
        pipeline.network(torch.randn(1, len(bundle.channels), *pipeline.inferer.roi_size, device=task.device))

    return once


RUNS: dict[str, Callable[[Task, Clock], Once]] = {
    "full": partial(ours, precision="full"),
    "auto": partial(ours, precision="auto"),
    "half": partial(ours, precision="half"),
    "stock": stock,
    "buffered": partial(stock, **BUFFERED),
    "floor": floor,
    "bare": bare,
}
