"""`train`: a recipe, to a bundle that runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from DeepImagingLib.cli.console import Interrupt
from DeepImagingLib.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from DeepImagingLib.inference.progress import Progress


def add_train(parser: argparse.ArgumentParser) -> None:
    """Say what words it takes."""
    parser.add_argument("recipe", metavar="NAME|PATH", help="a bundle with configs/train.json")
    parser.add_argument("--output", metavar="DIR", help="folder of the bundle to make (default: trained/NAME)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier training in DIR was stopped")
    parser.add_argument("--from", dest="start", metavar="BUNDLE", help="begin with its weights, not with random ones")
    parser.add_argument("--minutes", type=float, metavar="M", help="time for all of it; the schedule is fitted to that")
    parser.add_argument("--cache", metavar="DIR", help="keep what is drawn before the first step for other trainings")
    parser.add_argument("--validate", metavar="FILE.json", help="real scans with labels, measured beside the phantoms")
    parser.add_argument("--trust", metavar="SHA256", help="train by a foreign recipe of this exact content")
    parser.set_defaults(command=train)


def train(parsed: argparse.Namespace, interrupt: Interrupt) -> int:
    """Train and tell where the bundle is."""
    from rich.console import Console

    from DeepImagingLib.inference.device import choose_device
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.training import load_recipe

    recipe = load_recipe(parsed.recipe, parsed.trust)
    device = _checked(parsed.device, choose_device)
    output = Path(parsed.output) if parsed.output else Path("trained") / recipe.root.name
    asked = {"minutes": parsed.minutes, "cache": parsed.cache, "scans": parsed.validate, "start": parsed.start}
    settings = {"output_dir": str(output.absolute()), "resume": parsed.resume}
    settings |= {key: value for key, value in asked.items() if value is not None}
    trainer = recipe.trainer(device, settings)
    with _bar(Console(stderr=True)) as bar:
        folder = trainer.run(Monitor(_shown_in(bar), interrupt))
    print(f"Best Dice {trainer.course.best:.3f} at step {trainer.course.best_step} of {trainer.course.step}.")
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
