"""Training as a job: looked at first, then done, and what was best so far kept where it is stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib.errors import InputError
from DeepImagingLib.inference.progress import Monitor, Progress

if TYPE_CHECKING:
    from DeepImagingLib.files import Voxels
    from DeepImagingLib.hosts.job import Context
    from DeepImagingLib.training.cases import Case
    from DeepImagingLib.training.compose import Assignment

READING, TRYING = "Reading the scans", "Trying out a step"
EXAMPLES = Path("training", "examples.png")
"""Where in a bundle's folder the worst and the best case kept back are drawn."""
CURVE = Path("training", "curve.csv")
ORDER, LAST, MODEL = Path("training", "order.json"), Path("training", "last.pt"), Path("models", "model.pt")


@dataclass(frozen=True)
class Outline:
    """What a training would be.

    Attributes:
        cases: Name and split of each; "" where it has none yet.
        problems: A sentence each, with the place in `cases` it is about (-1 for all) and whether it stops the training.
        plan: Setting, value and reason.
        labels: Of the network, the background first; none where a problem stops it.
        new: Those the base doesn't know.
    """

    cases: tuple[tuple[str, str], ...]
    problems: tuple[tuple[str, int, bool], ...]
    plan: tuple[tuple[str, str, str], ...] = ()
    labels: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """What a training left.

    Attributes:
        bundle: Its folder.
        dice: Mean over the labels of the cases that were kept back.
    """

    bundle: Path
    dice: float


@dataclass(frozen=True)
class Order:
    """What is to be trained, in words that cross to another process; as on the command line.

    Attributes:
        data: A folder, dataset.json or CSV of labelled scans.
        labels: As `parse_labels` reads them; "" where the data say.
        base: Name or folder of the bundle to go on from, or "scratch".
        output: Folder of the bundle to make.
        device: "auto", "cpu", "cuda" or "mps".
        settings: Of the plan or the recipe.
        keep_old: Go on finding what the base finds.
        minutes: Time for all of it; None leaves it to the plan.
        resume: Go on with what an earlier one left.
        trust: SHA-256 of the base, where it has to be trusted.
    """

    data: Path = field(repr=False)
    labels: str
    base: str
    output: Path
    device: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    keep_old: bool = False
    minutes: float | None = None
    resume: bool = False
    trust: str | None = None


class Standing(Enum):
    """What there is of a training in its folder."""

    NEW = "new"
    BEGUN = "begun"
    FINISHED = "finished"


def standing(output: Path) -> Standing:
    """Tell what there is in the folder of a training: nothing to go on from, a checkpoint, or a model."""
    if (output / MODEL).is_file():
        return Standing.FINISHED
    return Standing.BEGUN if (output / LAST).is_file() else Standing.NEW


def last_saved(output: Path) -> int:
    """Return when the last checkpoint of a training was written, in ns; 0 where there is none."""
    return (output / LAST).stat().st_mtime_ns if (output / LAST).is_file() else 0


def order_to_go_on(output: Path) -> Order:
    """Return the order that goes on with a training, with what it was begun with; raises InputError without that."""
    try:
        told = json.loads((output / ORDER).read_text(encoding="utf-8"))
        return Order(**{**told, "data": Path(told["data"]), "output": output, "resume": True})
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise InputError(
            f"What the training {output.name!r} was begun with can't be read ({type(error).__name__}); keep the best "
            "of it, or take another name."
        ) from error


def _note(order: Order) -> None:
    from DeepImagingLib.training.checkpoint import write_whole

    told = {**asdict(order), "data": str(order.data.absolute()), "output": ""}
    write_whole(order.output / ORDER, lambda file: file.write(json.dumps(told, indent=1).encode()))


@dataclass(frozen=True)
class WriteScan:
    """Write a scan where a training reads it, in the type its voxels have; uncompressed, as it is read many times.

    Attributes:
        voxels: Of the scan.
        path: A `.nii` file, in a folder that is there.
    """

    voxels: Voxels = field(repr=False)
    path: Path

    def perform(self, context: Context) -> None:
        """Write it; raises OutputError where the disk is full, or doesn't let us."""
        import nibabel

        from DeepImagingLib.files import failed_writing

        context.progress(Progress("Writing a scan", 0.0))
        array = self.voxels.array
        try:
            values = array.transpose(2, 1, 0, *range(3, array.ndim))
            nibabel.save(nibabel.Nifti1Image(values, self.voxels.affine, dtype=array.dtype), self.path)
        except OSError as error:
            self.path.unlink(missing_ok=True)
            raise failed_writing(error) from error


@dataclass(frozen=True)
class CheckTraining:
    """Look at all scans and plan; nothing is trained and nothing is written."""

    order: Order

    def perform(self, context: Context) -> Outline:
        """Look; raises InputError where there is nothing to look at, BundleError where the base can't be used."""
        from DeepImagingLib.training.cases import inspect
        from DeepImagingLib.training.compose import drafted, for_its_task
        from DeepImagingLib.training.cost import costs

        monitor = Monitor(context.progress, context.cancel)
        assignment = for_its_task(_assignment(self.order))
        with monitor.stage(READING):
            inspection = inspect(assignment.dataset, monitor.update)
        places = {case: place for place, case in enumerate(assignment.dataset.cases)}
        problems = tuple(
            (problem.text, places[problem.case] if problem.case else -1, problem.fatal)
            for problem in inspection.problems
        )
        if any(fatal for *_, fatal in problems):
            return Outline(_told(assignment.dataset.cases), problems)
        draft = drafted(assignment, inspection)
        with monitor.stage(TRYING):
            plan = {**costs(draft, self.order.minutes), **draft.plan}
        told = tuple((key, choice.short, choice.reason) for key, choice in plan.items())
        new = draft.transfer.labels if draft.transfer else tuple(draft.assignment.dataset.labels)
        return Outline(_told(draft.assignment.dataset.cases), problems, told, draft.labels, new)


@dataclass(frozen=True)
class Train:
    """Train, and leave a bundle."""

    order: Order

    def perform(self, context: Context) -> Trained:
        """Train; raises what `draft` and `Trainer.run` raise."""
        from DeepImagingLib.training.compose import draft

        monitor = Monitor(context.progress, context.cancel)
        with monitor.stage(READING):
            drafted = draft(_assignment(self.order), monitor.update)
        trainer = drafted.begin(**({"minutes": self.order.minutes} if self.order.minutes else {}))
        _note(self.order)
        bundle = trainer.run(monitor)
        trainer.draw_examples(bundle / EXAMPLES)
        return Trained(bundle, trainer.course.best)


@dataclass(frozen=True)
class KeepBest:
    """Make the bundle of what was best in a training that was stopped.

    Attributes:
        output: Folder of the training.
    """

    output: Path

    def perform(self, context: Context) -> Trained:
        """Write it; raises InputError where the training hadn't begun."""
        from DeepImagingLib.training.checkpoint import FOLDER
        from DeepImagingLib.training.compose import RECIPE
        from DeepImagingLib.training.publish import publish_best

        context.progress(Progress("Writing the model", 0.0))
        return Trained(self.output, publish_best(self.output / FOLDER / RECIPE, self.output))


def _assignment(order: Order) -> Assignment:
    from DeepImagingLib.inference.device import choose_device
    from DeepImagingLib.training.cases import parse_labels, read_dataset
    from DeepImagingLib.training.cases.dataset import SEGMENTATION
    from DeepImagingLib.training.compose import Assignment

    dataset = read_dataset(order.data, parse_labels(order.labels) if order.labels else None)
    return Assignment(
        dataset,
        order.base,
        order.output,
        str(choose_device(order.device)),
        order.settings,
        order.keep_old,
        resume=order.resume,
        trust=order.trust,
        task=SEGMENTATION,  # what the panel is for
    )


def _told(cases: Sequence[Case]) -> tuple[tuple[str, str], ...]:
    return tuple((case.name, case.split or "") for case in cases)
