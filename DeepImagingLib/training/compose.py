"""From labelled scans to a trainer: look at them, decide, write the recipe, make what it asks for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from DeepImagingLib.bundles.bundle import load_bundle
from DeepImagingLib.bundles.trusted import TrustedBuilder
from DeepImagingLib.errors import InputError
from DeepImagingLib.training import checkpoint, composing, of_boxes, of_classes
from DeepImagingLib.training.cases import (
    Dataset,
    Inspection,
    Problem,
    as_before,
    check_enough,
    fold,
    for_task,
    inspect,
    split,
)
from DeepImagingLib.training.cases.dataset import CLASSIFICATION, DETECTION, SEGMENTATION, SPLITS, TASKS
from DeepImagingLib.training.cases.stored import resolved, stored_dataset, write_dataset
from DeepImagingLib.training.continued import OUTPUTS, numbered, window_settings
from DeepImagingLib.training.planning import Choice, Plan, guessed_modality, plan_from, plan_scratch
from DeepImagingLib.training.ranks import Ranks
from DeepImagingLib.training.recipe import Recipe
from DeepImagingLib.training.trainer import Trainer
from DeepImagingLib.training.transfer import Transfer, head_axes, transfer

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.bundles import Bundle

SCRATCH = "scratch"
RECIPE, CASES = "recipe", "cases.json"
SMALL = {"weight_decay": 1e-4, "patience": None, "accumulate": 1}
"""Settings that hardly anybody changes, and that no data decide."""
OF_THE_ASSIGNMENT = {"bundle_root", "output_dir", "start", "trust", "seed", "resume", "keep_old", "processes", "cases"}


@dataclass(frozen=True)
class Assignment:
    """What is to be trained on what.

    Attributes:
        dataset: Labelled scans.
        base: Name or folder of the bundle to go on from, or "scratch".
        output: Folder of the bundle to make.
        device: Where to compute.
        settings: Values for keys of the plan, or for any other at the top of `train.json`.
        keep_old: Go on finding what the base finds.
        resume: Go on with what an earlier run of the same assignment left in `output`.
        fold: (1, 5) validates on the first of five parts; None keeps a quarter of the subjects back.
        seed: Of the split and of all that is random.
        trust: SHA-256 of the base's content, where it has to be trusted.
        task: What to learn, one of `cases.TASKS`; None takes that of the base, and from scratch what the data tell.
    """

    dataset: Dataset
    base: str
    output: Path
    device: str = "cpu"
    settings: Mapping[str, Any] | None = None
    keep_old: bool = False
    fold: tuple[int, int] | None = None
    resume: bool = False
    seed: int = 0
    trust: str | None = None
    task: str | None = None


@dataclass(frozen=True)
class Draft:
    """A training that could begin; nothing of it is written yet.

    Attributes:
        assignment: What was asked for; its dataset has its splits.
        inspection: What was found in the files.
        plan: The settings that the data decided, with reasons; what was set by name says so.
        labels: Of the network's outputs; of a segmentation, the background first.
        base: The bundle to go on from, if any.
        transfer: What is taken over from it.
        train: What `train.json` will say.
    """

    assignment: Assignment
    inspection: Inspection
    plan: Plan
    labels: tuple[str, ...]
    base: Bundle | None
    transfer: Transfer | None
    train: Mapping[str, Any]

    def blank(self, image: torch.Tensor) -> torch.Tensor:
        """Return what the loss takes as the truth of images (B, C, ...) that have nothing in them."""
        return _KINDS[self.assignment.dataset.task].blank(image, len(self.labels))

    def begin(self, **settings: Any) -> Trainer:
        """Write the recipe into the folder `training` of the output and make its trainer, ready to run.

        Args:
            settings: Further keys of the recipe, such as `minutes`.

        Raises:
            InputError: The output folder can't be used, or holds something else.
            BundleError: The recipe can't be made.
        """
        assignment, ranks = self.assignment, Ranks()
        folder = assignment.output / checkpoint.FOLDER
        ranks.join()
        with ranks.leader_first():
            if ranks.leads:
                self._write(folder)
        of_machine = {
            "output_dir": str(assignment.output.absolute()),
            "start": str(self.base.path) if self.base else None,
            "trust": assignment.trust,
            "seed": assignment.seed,
            "resume": assignment.resume,
            "processes": ranks.count,
        }
        return Recipe(folder / RECIPE, self.train).trainer(assignment.device, {**of_machine, **settings})

    def _write(self, folder: Path) -> None:
        """Write the recipe and the list of cases, unless a training by another lies there."""
        checkpoint.make_folder(self.assignment.output, folder, self.assignment.resume)
        if any(folder.rglob(checkpoint.LAST)) and not self._is_that_of(folder):
            raise InputError(checkpoint.CHANGED)
        inference = _KINDS[self.assignment.dataset.task].inference(self.train)
        composing.write_recipe(folder / RECIPE, self.train, inference, self._metadata())
        write_dataset(self.assignment.dataset, folder / CASES)

    def _is_that_of(self, folder: Path) -> bool:
        """Tell whether a training was begun with the same recipe and cases; else its files are left alone."""
        recipe = folder / RECIPE / "configs" / "train.json"
        if not recipe.is_file():
            return False
        begun = json.loads(recipe.read_text(encoding="utf-8"))
        same_cases = stored_dataset(folder / CASES) == resolved(self.assignment.dataset)
        return same_cases and bool(begun == json.loads(json.dumps(self.train)))

    def _metadata(self) -> Mapping[str, Any]:
        dataset, facts = self.assignment.dataset, self.inspection.facts
        parts = {case.key: case.split for case in dataset.cases}
        before = self.base.metadata.get("data_split") or {} if self.base else {}
        now = {part: [one.sha256 for one in facts if parts[one.case.key] == part] for part in SPLITS}
        splits = {part: list(dict.fromkeys([*before.get(part, ()), *now[part]])) for part in SPLITS}
        modality = self.base.modality if self.base else guessed_modality(facts)
        name = self.assignment.output.absolute().name
        seen = (dataset.channels, modality, self.train["patch"])
        return composing.metadata(name, dataset.task, numbered(self.labels), *seen, splits, self.base)


def draft(assignment: Assignment, tell: Callable[[float], None] = lambda _: None) -> Draft:
    """Look at all files and decide on all settings.

    Args:
        assignment: What to train.
        tell: Called with the share of the files that were read; may raise to stop.

    Raises:
        InputError: The data or a setting can't be used; every problem of the data is listed.
        BundleError, TrustError: The base can't be used.
    """
    assignment = for_its_task(assignment)
    return drafted(assignment, inspect(assignment.dataset, tell))


def drafted(assignment: Assignment, inspection: Inspection) -> Draft:
    """As `draft`, of an assignment `for_its_task` whose scans were looked at."""
    inspection.require()
    base = _base(assignment)
    if assignment.keep_old:
        _check_old(base, assignment.dataset.task)
    dataset, inspection = _split(assignment, inspection, base)
    check_enough(dataset, inspection.facts)
    assignment = replace(assignment, dataset=dataset)
    kind = _KINDS[dataset.task]
    labels = _labels(dataset, base if assignment.keep_old else None)
    plan = _set(assignment, kind.plan(assignment, inspection, base, labels))
    settings = {**SMALL, **{key: choice.value for key, choice in plan.items()}, "keep_old": assignment.keep_old}
    heads, taken = _transferred(base, settings["network_def"], labels)
    own = kind.recipe({**settings, **(assignment.settings or {})}, labels, dataset, base)
    train = composing.train_config(settings, numbered(labels), heads, own)
    train = {**train, **_checked(assignment, train)}
    return Draft(assignment, inspection, plan, labels, base, taken, train)


def _base(assignment: Assignment) -> Bundle | None:
    return None if assignment.base == SCRATCH else load_bundle(assignment.base, assignment.trust)


def for_its_task(assignment: Assignment) -> Assignment:
    """Return an assignment whose dataset is for the task that is to be learnt; errors as of `draft`."""
    dataset, base = assignment.dataset, _base(assignment)
    task = assignment.task or (base.task if base and base.task in TASKS else dataset.task)
    if base and base.task in TASKS and base.task != task:
        raise InputError(f"{base.name} is for {base.task}, and can't be gone on from to learn {task}.")
    dataset = for_task(dataset, task)
    return replace(assignment, dataset=of_classes.with_channels(dataset, base) if task == CLASSIFICATION else dataset)


def _split(assignment: Assignment, inspection: Inspection, base: Bundle | None) -> tuple[Dataset, Inspection]:
    """Return the dataset with a split for each case, and a note where the base knows some of its scans."""
    way = (inspection.facts, assignment.seed)
    earlier = base.metadata.get("data_split") or {} if base else {}
    placed, known = as_before(assignment.dataset, inspection.facts, earlier, assignment.seed)
    if assignment.fold:
        dataset = fold(assignment.dataset, *way, *assignment.fold)
        told = "some of them may be measured on now, which says little"
    else:
        dataset, told = split(placed, *way), "each is trained on or measured on as it was there"
    if known and base:
        text = f"{known} of the scans were in the training of {base.name}; {told}."
        inspection = replace(inspection, problems=(*inspection.problems, Problem(text, fatal=False)))
    return dataset, inspection


def _check_old(base: Bundle | None, task: str) -> None:
    if base is None:
        raise InputError("There are no old labels to keep in a training from scratch; leave --keep-old out.")
    if task != SEGMENTATION:
        raise InputError(f"Old labels can be kept in segmentation alone, and this is {task}; leave --keep-old out.")
    if not base.exclusive:
        raise InputError(
            f"The labels of {base.name} may overlap, and can't be kept beside new ones; train these alone."
        )


def _labels(dataset: Dataset, kept: Bundle | None) -> tuple[str, ...]:
    """Return the network's labels, of a segmentation the background first: those to keep in their places, then new."""
    if dataset.task != SEGMENTATION:
        return tuple(dataset.labels)
    old = [kept.labels[number] for number in sorted(kept.labels)] if kept else ["background"]
    return (*old, *(name for name in dataset.labels if name not in old))


def _set(assignment: Assignment, plan: Plan) -> Plan:
    """Return a plan with what the user set by name."""
    asked = {key: Choice(value, "as you set it") for key, value in (assignment.settings or {}).items()}
    return {**plan, **{key: choice for key, choice in asked.items() if key in plan}}


@dataclass(frozen=True)
class _Kind:
    """What is done for one of the tasks.

    Attributes:
        plan: Of assignment, inspection, base and labels, the settings.
        recipe: Of settings, labels, dataset and base, what the recipe adds to what all have.
        inference: Of settings, what `inference.json` says.
        blank: Of a batch and the number of labels, what is known of images without anything in them.
        follows: Settings that follow from others, and can't be set.
    """

    plan: Callable[[Assignment, Inspection, Bundle | None, tuple[str, ...]], Plan]
    recipe: Callable[[Mapping[str, Any], tuple[str, ...], Dataset, Bundle | None], Mapping[str, Any]]
    inference: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    blank: Callable[[torch.Tensor, int], torch.Tensor]
    follows: frozenset[str] = frozenset()


def _plan_masks(assignment: Assignment, inspection: Inspection, base: Bundle | None, labels: tuple[str, ...]) -> Plan:
    facts, channels = inspection.facts, assignment.dataset.channels
    if base:
        return plan_from(base, facts, channels, labels)
    return plan_scratch(facts, channels, labels, assignment.device)


def _masks(
    settings: Mapping[str, Any], labels: tuple[str, ...], dataset: Dataset, base: Bundle | None
) -> Mapping[str, Any]:
    inferer = window_settings(base, settings["patch"])
    return {"inferer": inferer, **composing.of_masks(settings, labels, tuple(dataset.labels))}


_KINDS = {
    SEGMENTATION: _Kind(
        _plan_masks,
        _masks,
        lambda settings: composing.inference_config(settings, settings["inferer"], composing.MASKS),
        lambda image, labels: image.new_zeros(len(image), 1, *image.shape[2:]),
    ),
    CLASSIFICATION: _Kind(
        lambda assignment, inspection, base, labels: of_classes.plan(
            assignment.dataset, inspection.facts, base, len(labels)
        ),
        lambda settings, labels, dataset, base: of_classes.recipe(settings),
        of_classes.inference_config,
        lambda image, labels: image.new_zeros(len(image), labels),
        frozenset({"patch"}),
    ),
    DETECTION: _Kind(
        lambda assignment, inspection, base, labels: of_boxes.plan(
            inspection.facts, assignment.dataset.channels, base, len(labels)
        ),
        lambda settings, labels, dataset, base: of_boxes.recipe(settings, len(labels)),
        lambda settings: of_boxes.inference_config(settings, len(settings["labels"])),
        lambda image, labels: image.new_full((len(image), 1, 7), -1.0),
    ),
}


def _checked(assignment: Assignment, train: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the user set; every key has to be one of the recipe's."""
    asked = assignment.settings or {}
    if own := sorted(asked.keys() & (OF_THE_ASSIGNMENT | _KINDS[assignment.dataset.task].follows)):
        raise InputError(f"{own[0]!r} is no setting of the plan: it follows from the other options, or has its own.")
    if unknown := sorted(asked.keys() - train.keys()):
        known = ", ".join(sorted(train))
        raise InputError(f"There is no setting {unknown[0]!r}; there are {known}.")
    return asked


def _transferred(
    base: Bundle | None, settings: Mapping[str, Any], labels: tuple[str, ...]
) -> tuple[dict[str, list[int]], Transfer | None]:
    """Return which weights have a row for each label, and what of the base will be taken over."""
    if base is None:
        return {}, None
    count = next((key for key in OUTPUTS if settings.get(key) == len(labels)), None)
    if count is None:
        raise InputError(f"`network_def` needs {len(labels)} outputs, one for each label and the background.")

    def build(outputs: int) -> torch.nn.Module:
        config = {"network_def": {**settings, count: outputs}}
        return cast("torch.nn.Module", TrustedBuilder(config, str(base.path), "cpu").get("network_def"))

    heads = head_axes(build, len(labels))
    before = [base.labels[number] for number in sorted(base.labels)]
    return heads, transfer(build(len(labels)), base.build().network.state_dict(), heads, before, labels)
