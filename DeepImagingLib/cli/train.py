"""`train`: a recipe, or labelled scans and a bundle to go on from, to a bundle that runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib.cli.console import Interrupt
from DeepImagingLib.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from DeepImagingLib.inference.progress import Progress
    from DeepImagingLib.training import Recipe, Trainer
    from DeepImagingLib.training.compose import Draft

TASKS = ("segmentation", "classification", "detection")
EITHER = "Name either a recipe to train by, or your own scans with --data and --from"
DATASET = "dataset_dir"
"""The setting of a recipe that trains on a folder of the user's, as MONAI's bundles call it."""

OF_SCANS: Mapping[str, object] = {
    "images": "*",
    "label_files": "*",
    "labels": None,
    "task": None,
    "keep_old": False,
    "fold": None,
    "epochs": None,
    "dry_run": False,
}
"""What is asked for scans of the user's alone, and how it reads where nobody did."""

NO_SETTINGS = {"bundle_root", "device", "output_dir", "resume"}
"""Keys of a recipe that follow from other options."""


def add_train(parser: argparse.ArgumentParser) -> None:
    """Say what words it takes."""
    parser.add_argument("recipe", nargs="?", metavar="NAME|PATH", help="a bundle with configs/train.json")
    parser.add_argument("--output", metavar="DIR", help="folder of the bundle to make (default: trained/NAME)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier training in DIR was stopped")
    parser.add_argument("--from", dest="start", metavar="BUNDLE|FILE|scratch", help="whose weights to begin with")
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="folder with images/ and labels/, a Decathlon dataset.json, a CSV of labels or boxes; or what a recipe "
        "asks for",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, as JSON; repeatable"
    )
    parser.add_argument("--config", metavar="FILE", help="settings in YAML or JSON")
    parser.add_argument("--seed", type=int, help="of the split and of all that is random")
    data = parser.add_argument_group("labelled scans of your own")
    data.add_argument("--images", default="*", metavar="PATTERN", help="of files in images/, such as '*_ct.nii.gz'")
    data.add_argument("--label-files", default="*", metavar="PATTERN", help="of files in labels/")
    data.add_argument("--labels", metavar="NAME[=NUMBER],…", help="what the numbers in label files mean")
    data.add_argument("--task", choices=TASKS, help="what to learn (default: as --from, or what the data tell)")
    data.add_argument("--keep-old", action="store_true", help="go on finding what the bundle finds")
    data.add_argument("--fold", metavar="N/K", help="validate on the N-th of K parts (default: on a quarter)")
    data.add_argument("--epochs", type=int, metavar="N", help="passes over the cases")
    data.add_argument("--dry-run", action="store_true", help="check the data and print the plan; train nothing")
    parser.add_argument("--minutes", type=float, metavar="M", help="time for all of it; the schedule is fitted to that")
    parser.add_argument("--cache", metavar="DIR", help="keep what is drawn before the first step for other trainings")
    parser.add_argument("--validate", metavar="FILE.json", help="real scans with labels, measured beside the phantoms")
    parser.add_argument("--trust", metavar="SHA256", help="train by a foreign recipe of this exact content")
    parser.set_defaults(command=train)


def train(parsed: argparse.Namespace, interrupt: Interrupt) -> int:
    """Train and tell where the bundle is; of the processes that torchrun starts, the first one tells."""
    from DeepImagingLib.inference.device import choose_device
    from DeepImagingLib.training.ranks import Ranks

    if not (parsed.data or parsed.recipe):
        raise InputError(f"{EITHER}.")
    ranks = Ranks()
    ranks.join()
    device = _checked(parsed.device, choose_device)
    with nullcontext() if ranks.leads else redirect_stdout(None):
        return (_train_by_recipe if parsed.recipe else _train_on_scans)(parsed, device, interrupt)


def _train_by_recipe(parsed: argparse.Namespace, device: str, interrupt: Interrupt) -> int:
    from DeepImagingLib.training import load_recipe

    recipe = load_recipe(parsed.recipe, parsed.trust)
    _check_words(parsed, recipe)
    output = Path(parsed.output) if parsed.output else Path("trained") / recipe.root.name
    asked = {"minutes": parsed.minutes, "cache": parsed.cache, "scans": parsed.validate, "start": parsed.start}
    asked |= {"seed": parsed.seed, DATASET: str(Path(parsed.data).absolute()) if parsed.data else None}
    settings = {"output_dir": str(output.absolute()), "resume": parsed.resume, **_settings(parsed)}
    settings |= {key: value for key, value in asked.items() if value is not None}
    return _run(recipe.trainer(device, settings), interrupt)


def _check_words(parsed: argparse.Namespace, recipe: Recipe) -> None:
    """Raise InputError where something was asked for that a recipe doesn't heed."""
    words = [f"--{key.replace('_', '-')}" for key, unset in OF_SCANS.items() if getattr(parsed, key) != unset]
    if parsed.data and DATASET not in recipe.config:
        words.insert(0, "--data")
    if words:
        raise InputError(f"The recipe {recipe.root.name} takes no {' or '.join(words)}. {EITHER}.")
    if own := sorted(_settings(parsed).keys() & NO_SETTINGS):
        raise InputError(f"`{own[0]}` is no setting of a recipe: it follows from the other options.")


def _train_on_scans(parsed: argparse.Namespace, device: str, interrupt: Interrupt) -> int:
    from rich.console import Console

    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.training.cases import parse_labels, read_dataset
    from DeepImagingLib.training.compose import Assignment, draft
    from DeepImagingLib.training.cost import costs

    if not (parsed.start and parsed.output):
        raise InputError("Say what to begin with (--from BUNDLE, or --from scratch) and where to put it (--output).")
    fold = _fold(parsed.fold) if parsed.fold else None
    settings = _settings(parsed)
    labels = parse_labels(parsed.labels) if parsed.labels else None
    dataset = read_dataset(parsed.data, labels, parsed.images, parsed.label_files)
    way = (device, settings, parsed.keep_old, fold, parsed.resume, parsed.seed or 0, parsed.trust, parsed.task)
    with _bar(Console(stderr=True)) as bar:
        monitor = Monitor(_shown_in(bar), interrupt)
        with monitor.stage("reading the scans"):
            drafted = draft(Assignment(dataset, parsed.start, Path(parsed.output), *way), monitor.update)
    _tell(drafted)
    if parsed.dry_run:
        for key, choice in costs(drafted, parsed.minutes).items():
            print(f"{key}: {choice.short}  ({choice.reason})")
        return 0
    given = {"minutes": parsed.minutes} if parsed.minutes is not None else {}
    return _run(drafted.begin(**given), interrupt)


def _fold(word: str) -> tuple[int, int]:
    number, _, count = word.partition("/")
    if not (number.isdigit() and count.isdigit()):
        raise InputError(f"{word!r} is no fold; write one such as 1/5.")
    return int(number), int(count)


def _settings(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return what the user set by name: in a file, and over that on the command line."""
    import json

    import yaml

    found: dict[str, Any] = {}
    if parsed.config:
        try:
            found = yaml.safe_load(Path(parsed.config).read_text(encoding="utf-8")) or {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise InputError(f"{Path(parsed.config).name} can't be read as YAML ({type(error).__name__}).") from error
        if not isinstance(found, dict):
            raise InputError(f"{Path(parsed.config).name} holds no settings; expected KEY: VALUE lines.")
    for word in parsed.set:
        key, given, value = word.partition("=")
        if not given:
            raise InputError(f"{word!r} is no setting; write KEY=VALUE.")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found | ({"epochs": parsed.epochs} if parsed.epochs is not None else {})


def _tell(drafted: Draft) -> None:
    """Print what is trained on what, each setting with its reason, what is taken over, and what is odd in the data."""
    dataset = drafted.assignment.dataset
    parts = ", ".join(f"{len(dataset.part(part))} {part}" for part in ("train", "validation", "test"))
    print(f"{dataset.task}: {len(dataset.cases)} cases ({parts})")
    for number, name in enumerate(dataset.labels, 1):
        print(f"  {name}: in {sum(bool(one.voxels[number]) for one in drafted.inspection.facts)}")
    for key, choice in drafted.plan.items():
        print(f"{key}: {choice.short}  ({choice.reason})")
    if taken := drafted.transfer:
        print(f"{len(taken.taken)} weights are taken over; new labels: {', '.join(taken.labels) or 'none'}")
        for name, reason in taken.new.items():
            print(f"  new: {name}: {reason}")
    for problem in drafted.inspection.problems:
        print(f"note: {problem.text}")


def _run(trainer: Trainer, interrupt: Interrupt) -> int:
    from rich.console import Console

    from DeepImagingLib.inference.progress import Monitor

    with _bar(Console(stderr=True)) as bar:
        folder = trainer.run(Monitor(_shown_in(bar), interrupt))
    course = trainer.course
    print(f"Best {trainer.metric.capitalize()} {course.best:.3f} at step {course.best_step} of {course.step}.")
    print(f"Wrote {folder}")
    return 0


def _checked(name: str, choose: Callable[[str], object]) -> str:
    try:
        return str(choose(name))
    except RuntimeError as error:
        raise InputError(f"{name!r} is no device; use auto, cpu, cuda, cuda:N or mps.") from error


def _bar(console: object) -> Bar:
    """Return a line with stage, bar, share and the time left; silent where nobody looks."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}"))
    return Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())  # type: ignore[arg-type]


def _shown_in(bar: Bar) -> Callable[[Progress], None]:
    """Return what shows a run's progress in the bar."""
    task = bar.add_task("", total=1.0, left="")

    def show(progress: Progress) -> None:
        left = f"{progress.seconds_left:.0f} s left" if progress.seconds_left else ""
        bar.update(task, description=progress.stage, completed=progress.fraction, left=left)

    return show
