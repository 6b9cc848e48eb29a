"""The training loop: any network, loss, optimizer and data, to a MONAI bundle that runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.utils import list_data_collate
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from DeepImagingLib.errors import CancelledError, DeepImagingError, InputError
from DeepImagingLib.inference.progress import Monitor
from DeepImagingLib.training import checkpoint
from DeepImagingLib.training.averaging import running_average
from DeepImagingLib.training.course import Clock, Course
from DeepImagingLib.training.curves import draw_curve, write_curve
from DeepImagingLib.training.draws import From
from DeepImagingLib.training.examples import draw_examples
from DeepImagingLib.training.pace import Pace
from DeepImagingLib.training.precision import Loss, as_float, autocast, half_pays, laid_out, lay_out
from DeepImagingLib.training.publish import publish_best
from DeepImagingLib.training.ranks import Ranks
from DeepImagingLib.training.room import enough_room
from DeepImagingLib.training.stages import Stage
from DeepImagingLib.training.state import Parts
from DeepImagingLib.training.validate import MEAN, Inferer, Items, Measure, Measured, Scores, measure

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "full", "half")
ROW_EVERY = 20  # steps that a row of the curve is the mean of
MOST_SKIPPED = 100  # steps in a row that may have no finite gradient
MOST_SKIPPED_IN_HALF = (5, 0.02)  # and a share of all, before "auto" goes on in full precision
ENOUGH_SUBJECTS = 10  # to draw intervals from
CLOSING_SECONDS = 5.0  # kept for writing the bundle when a deadline is near


@dataclass
class Trainer:
    """Trains a network and leaves a bundle; a config makes it, and its `run` calls `run`.

    Processes that `torchrun` starts train together: each takes `batch_size` items of a step, the first of them measures
    and writes.

    Attributes:
        network: On `device`.
        loss: Of the network's answer, logits (B, K, ...) say, and labels, such as (B, 1, ...).
        optimizer: Of the network's parameters.
        data: {"image", "label"} by number, without end, such as `PhantomPatches` or `Shuffled`.
        labels: Number of each channel → name; 0 is the background.
        inferer: Runs the network over whole images, for validation.
        validation: Data sets to measure on, by name; where there are several, the mean of their means counts.
        output: Folder of the bundle to make; checkpoints and curves go into its folder `training`.
        bundle: Folder of the recipe, whose configs the new bundle takes over; without one, checkpoints and curves are
            all there is, in `output` itself.
        steps: Of the schedule, and of a run without a deadline.
        lr_scheduler: Of the optimizer, over `steps` steps.
        device: Where to compute.
        seed: Told in the metadata; the config seeds torch before it makes the network.
        batch_size: Items that go through the network at once.
        accumulate: Batches a step, for a larger batch than memory has room for.
        workers: Processes that prepare items; with none, they are prepared between the steps.
        validate_every: Steps from one validation to the next.
        patience: Validations without a better Dice after which a run ends early; None never does.
        average: Decay of the running average of weights that is validated and published; 0 takes the weights as they
            are.
        clip: Largest norm of a gradient.
        precision: "full", "half" (bfloat16, channels last), or "auto": what is quicker here, and full from when half
            leaves too many gradients that aren't finite, as on some processors it does of a few voxels across.
        checkpoint_seconds: From one checkpoint to the next.
        resume: Go on where an earlier run in `output` was stopped.
        minutes: Time for all of `run`, from which the number of steps follows; None takes `steps`.
        frozen: Share of the steps in which only weights are trained that `before` told to be new.
        before: Where the weights come from that this training begins with; None leaves them as the network has them.
        measure: What is measured in validation, of masks or boxes; the higher, the better.
        metric: What that is called.
        title: What messages call it.
        made_of: Digest of the recipe and its settings, which has to be the same where a training goes on; "" where
            nobody told.
        saved: Steps in the last checkpoint.
    """

    network: torch.nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer
    data: Dataset[Any]
    labels: Mapping[int | str, str]
    inferer: Inferer
    validation: Mapping[str, Items]
    output: str
    bundle: str | None
    steps: int
    lr_scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
    device: torch.device | str = "cpu"
    seed: int = 0
    batch_size: int = 1
    accumulate: int = 1
    workers: int = 0
    validate_every: int = 1000
    patience: int | None = None
    average: float = 0.999
    clip: float = 3.0
    precision: str = "auto"
    checkpoint_seconds: float = 60.0
    resume: bool = False
    minutes: float | None = None
    frozen: float = 0.0
    before: Stage | None = None
    measure: Measure = measure
    metric: str = "dice"
    title: str = "training"
    made_of: str = ""
    saved: int = field(default=0, init=False)
    _ranks: Ranks = field(default_factory=Ranks, init=False, repr=False)

    def run(self, monitor: Monitor | None = None) -> Path:
        """Train, and write the bundle; returns its folder.

        What an unbroken run ends with, a resumed one does too, to the bit on a CPU with the same number of threads.

        Raises:
            InputError: A setting, or the output folder, can't be used.
            CancelledError: The user stopped; the message says how to go on where a checkpoint was left.
        """
        begun = time.monotonic()
        self._monitor = monitor or Monitor()
        self._deadline = begun + 60 * self.minutes if self.minutes is not None else None
        self._device = torch.device(self.device)
        self._names = {int(number): name for number, name in self.labels.items()}
        self._ranks.join()
        with self._ranks.leader_first():
            self._open()
        try:
            with enough_room(self._device):
                self._go()
        except CancelledError as error:
            kept = self if self.was_begun else self.before and self.before.trainer
            if not (kept and kept.was_begun):
                raise
            raise CancelledError(
                f"The {kept.title} was stopped after {kept.saved} steps; go on with --resume."
            ) from error
        if self.bundle and self._ranks.leads:
            self._publish()
        self._ranks.wait()
        return Path(self.output) if self.bundle else self._folder

    def _go(self) -> None:
        """Prepare, begin or go on, and take all steps."""
        with self._ranks.leader_first():
            self._prepare()
        self._start(self._run_before())
        self._ranks.wait()  # who writes the first checkpoint must not be taken for one that goes on
        self._clock = Clock(self.course.seconds)
        if not self._goes_on:
            self._validate()  # a recipe that can't be validated should fail now, and not in an hour
            self._save()
        with self._monitor.stage(self.title):
            self._train()

    @property
    def was_begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self._checkpoint.is_file()

    def best_network(self) -> torch.nn.Module:
        """Return the network, with the weights that did best in validation."""
        self.network.load_state_dict(checkpoint.load(self._folder / checkpoint.BEST, self._device)["network"])
        return self.network

    def draw_examples(self, path: Path) -> None:
        """Draw what the best weights make of the worst and the best case of the first validation set, as a PNG."""
        network, cases = self.best_network(), next(iter(self.validation.values()))
        way = (self.inferer, self._device, self.course.half, lambda _: self._monitor.ask())
        scores = measure(network, cases, self._names, *way)
        draw_examples(network, cases, scores, self.inferer, self._device, path)

    @property
    def _folder(self) -> Path:
        return Path(self.output) / checkpoint.FOLDER if self.bundle else Path(self.output)

    @property
    def _checkpoint(self) -> Path:
        return self._folder / checkpoint.LAST

    def _open(self) -> None:
        """Make the folder for checkpoints; a foreign folder is left alone."""
        if self.precision not in PRECISIONS:
            raise InputError(f"The precision {self.precision!r} is none of {', '.join(PRECISIONS)}.")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise InputError(f"There is no training in {self.minutes:g} minutes; give it some more.")
        if self.bundle and not (Path(self.bundle) / "configs").is_dir():
            raise InputError(f"{self.bundle} is no bundle's folder; name that of the recipe (`bundle_root`).")
        checkpoint.make_folder(Path(self.output), self._folder, self.resume or not self._ranks.leads)
        if self.made_of:
            checkpoint.check_origin(self._folder, self.made_of)
        if self.was_begun:
            self.saved = int(checkpoint.load(self._checkpoint)["course"]["step"])

    def _run_before(self) -> dict[str, Any]:
        if self.before is None or self.was_begun:
            return {}
        minutes = (self._deadline - time.monotonic()) / 60 if self._deadline is not None else None
        if minutes is not None and minutes <= 0:
            raise InputError(f"Preparing the data took all of the {self.minutes:g} minutes; give it more.")
        return self.before.run(self.network, minutes, self.resume, self._monitor)

    def _prepare(self) -> None:
        """Let data sets that have to make something first do so."""
        self.validation = {name: cases for name, cases in self.validation.items() if len(cases)}
        if not self.validation:
            raise InputError("The recipe has nothing to validate on; give it held-out cases under `validation`.")
        for name, data in {**self.validation, "training data": self.data}.items():  # a wrong file is told soon
            if prepare := getattr(data, "prepare", None):
                with self._monitor.stage(f"preparing {name} of the {self.title}"):
                    prepare(self._monitor.update)

    def _start(self, earlier: dict[str, Any]) -> None:
        """Begin anew, or where the last checkpoint was written."""
        self._goes_on = self.was_begun
        saved = checkpoint.load(self._checkpoint) if self._goes_on else None
        half = saved["course"]["half"] if saved else self._chosen_precision()
        self.course = Course(Pace(self.steps, self.steps), half, earlier=earlier)
        lay_out(self.network, half, self._first().dim())
        self.averaged = AveragedModel(self.network, multi_avg_fn=running_average(self.average))
        if saved:
            self.course = self._parts.restore(saved)
            self.saved = self.course.step

    def _first(self) -> torch.Tensor:
        return list_data_collate([self.data[0]])["image"]

    def _chosen_precision(self) -> bool:
        if self.precision != "auto":
            return self.precision == "half"
        batch = list_data_collate([self.data[n] for n in range(self.batch_size)])
        half = half_pays(self.network, self.loss, *self._moved(batch))
        logger.info("steps are computed in %s", "bfloat16" if half else "float32")
        return half

    def _moved(self, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        image, label = (torch.as_tensor(batch[key]).to(self._device, non_blocking=True) for key in ("image", "label"))
        return image.as_subclass(torch.Tensor), label.as_subclass(torch.Tensor)

    # --- steps ---

    def _train(self) -> None:
        course, clock = self.course, self._clock
        first, saved, skipped_in_a_row = course.step, clock(), 0
        clock.start()
        self.network.train()
        for batches in self._batches(first):
            if self._is_over:
                break
            if self.frozen:
                self._freeze(course.pace.position(course.step) < self.frozen * self.steps)
            skipped_in_a_row = 0 if self._step(batches) else skipped_in_a_row + 1
            if self._half_fails:
                course.half, skipped_in_a_row = False, 0
            if skipped_in_a_row >= MOST_SKIPPED:
                raise DeepImagingError(
                    f"The gradient was not finite for {MOST_SKIPPED} steps; lower the recipe's learning rate."
                )
            course.seconds = clock()
            self._fit_pace(course.step - first)
            if course.step % ROW_EVERY == 0:
                course.add_row(self._learning_rate)
            validates = course.step % self.validate_every == 0 or self._is_over
            if validates:
                self._validate()
                self._fit_pace(course.step - first)
            if validates or clock() - saved >= self.checkpoint_seconds:
                self._save()
                saved = clock()
            self._report((course.step - first) / max(1, course.pace.total - first))

    def _report(self, fraction: float) -> None:
        try:
            self._monitor.update(fraction)
        except CancelledError:
            self._save()
            self._draw()
            raise

    def _freeze(self, frozen: bool) -> None:
        """Hold what was taken over still, or let it go: beside a new head at random it would only be spoilt."""
        new = set(self.course.earlier.get("began_with", {}).get("new", ()))
        for name, weight in self.network.named_parameters():
            weight.requires_grad_(not (frozen and new) or name in new)

    @property
    def _half_fails(self) -> bool:
        course, (few, share) = self.course, MOST_SKIPPED_IN_HALF
        return course.half and self.precision == "auto" and course.skipped > max(few, share * course.step)

    @property
    def _is_over(self) -> bool:
        course = self.course
        return course.step >= course.pace.total or (self.patience is not None and course.fruitless >= self.patience)

    def _batches(self, first: int) -> Iterator[list[Mapping[str, torch.Tensor]]]:
        """Yield those of each step from `first` on: the same whatever the number of processes that make them."""
        loader = DataLoader(
            self.data,
            self.batch_size,
            sampler=From(
                first * self.batch_size * self.accumulate * self._ranks.count,
                self.batch_size,
                (self._ranks.rank, self._ranks.count),
            ),
            num_workers=self.workers,
            collate_fn=list_data_collate,
            pin_memory=self._device.type == "cuda",
            generator=torch.Generator(),  # not torch's own: what the network draws must not depend on the loader
        )
        batches = iter(loader)
        while True:
            yield [next(batches) for _ in range(self.accumulate)]

    def _step(self, batches: Sequence[Mapping[str, torch.Tensor]]) -> bool:
        """Take one step; False where the gradient isn't finite and the weights were left as they are."""
        course = self.course
        self.optimizer.zero_grad()
        loss = sum(self._backward(batch) for batch in batches) / len(batches)
        self._ranks.average_gradients(self.network)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        finite = bool(torch.isfinite(norm))
        if finite:
            self.optimizer.step()
            self.averaged.update_parameters(self.network)
            course.losses.append(loss)
        course.skipped += not finite
        before = course.pace.position(course.step)
        course.step += 1
        for _ in range(course.pace.position(course.step) - before if self.lr_scheduler else 0):
            self.lr_scheduler.step()  # type: ignore[union-attr]  # there is one
        return finite

    def _backward(self, batch: Mapping[str, torch.Tensor]) -> float:
        """Add a batch's gradient, as a share of the step's; returns its loss."""
        image, label = self._moved(batch)
        with autocast(self._device, self.course.half):
            answer = self.network(laid_out(image, self.course.half))
        loss = self.loss(as_float(answer), label)
        (loss / self.accumulate).backward()  # type: ignore[no-untyped-call]  # not typed in torch
        return float(loss.detach())

    def _fit_pace(self, done: int) -> None:
        """Have the run end when its time does: as many steps as fit beside the validations."""
        course = self.course
        if self._deadline is not None:
            a_step = self._clock.of_steps() / done + course.validation_seconds / self.validate_every
            left = self._deadline - time.monotonic() - course.validation_seconds - CLOSING_SECONDS
            course.pace.refit(course.step, left / a_step)
        if self._ranks.count > 1:
            pace = course.pace
            told = self._ranks.agreed((pace.total, pace.since, pace.gone, course.fruitless), self._device)
            pace.total, pace.since, pace.gone, course.fruitless = int(told[0]), int(told[1]), told[2], int(told[3])

    @property
    def _learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    # --- validation ---

    def _validate(self) -> None:
        if not self._ranks.leads:
            return
        course = self.course
        if not course.rows or course.rows[-1]["step"] != course.step:
            course.add_row(self._learning_rate)
        with self._clock.aside():
            found = {name: self._measured(cases) for name, cases in self.validation.items()}
        course.validation_seconds = self._clock.last_aside
        means = {name: scores.means() for name, scores in found.items()}
        score = float(np.mean([dice[MEAN] for dice in means.values()]))
        flat = {f"{name}: {label}": value for name, dice in means.items() for label, value in dice.items()}
        if course.judge(flat, score):
            spread = {name: _spread(scores, self.validation[name]) for name, scores in found.items()}
            best = {"network": self._answering.state_dict(), "step": course.step, "metrics": flat}
            told = {"labels": self._names, "metric": self.metric, "facts": self._facts, "rows": course.rows}
            told["decided"] = next(iter(found.values())).decided()
            checkpoint.save(self._folder / checkpoint.BEST, {**best, **told, "spread": spread})
        logger.info("step %d: %.3f, best %.3f at step %d", course.step, score, course.best, course.best_step)
        self._draw()

    def _measured(self, cases: Items) -> Measured:
        way = (self.inferer, self._device, self.course.half, lambda _: self._monitor.ask())
        return self.measure(self._answering, cases, self._names, *way)

    @property
    def _answering(self) -> torch.nn.Module:
        """The network that is validated and published: the average, once there is one."""
        return self.averaged.module if self.average and self.averaged.n_averaged else self.network

    # --- state ---

    def _save(self) -> None:
        if not self._ranks.leads:
            return
        checkpoint.save(self._checkpoint, self._parts.state(self.course))
        write_curve(self._folder, self.course.rows)
        self.saved = self.course.step

    def _draw(self) -> None:
        """Draw the curve; not with each checkpoint, as it takes longer than a quick step does."""
        if self._ranks.leads:
            draw_curve(self._folder, self.course.rows, self.metric)

    @property
    def _parts(self) -> Parts:
        processes = (str(self._ranks.count),) if self._ranks.count > 1 else ()
        schedule = (str(self.steps), *processes)
        return Parts(self.network, self.averaged, self.optimizer, self.lr_scheduler, self._device, schedule)

    @property
    def _facts(self) -> dict[str, Any]:
        """What the bundle tells of the training so far."""
        course = self.course
        return {
            "steps": course.step,
            "skipped_steps": course.skipped,
            "minutes": round(course.seconds / 60, 1),
            "seed": self.seed,
            "batch_size": self.batch_size * self.accumulate * self._ranks.count,
            "average_decay": self.average,
            "precision": "bfloat16" if course.half else "float32",
            "device": self._device.type,
            "threads": torch.get_num_threads(),
            **course.earlier,
        }

    def _publish(self) -> None:
        assert self.bundle
        with self._monitor.stage("writing the bundle"):
            publish_best(Path(self.bundle), Path(self.output), self._facts, self.course.rows)


def _spread(scores: Measured, cases: Items) -> dict[str, Any]:
    """Return how far a set's cases differ, where it tells whose they are: 95 % intervals, or few cases themselves."""
    subjects = getattr(cases, "subjects", None)
    if subjects is None or not isinstance(scores, Scores):
        return {}
    if len(set(subjects)) >= ENOUGH_SUBJECTS:
        return {"intervals": {name: list(ends) for name, ends in scores.intervals(subjects).items()}}
    return {
        "labels": list(scores.labels),
        "cases": [[None if np.isnan(v) else v for v in row] for row in scores.dice.round(3).tolist()],
    }
