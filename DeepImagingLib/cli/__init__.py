"""The thin face of the library: `python -m DeepImagingLib run | batch | models | train | evaluate | info`."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from DeepImagingLib import __version__
from DeepImagingLib.cli.batch import add_batch
from DeepImagingLib.cli.console import Parser, guarded, set_up_logging
from DeepImagingLib.cli.evaluate import add_evaluate
from DeepImagingLib.cli.info import add_info
from DeepImagingLib.cli.models import add_models
from DeepImagingLib.cli.run import add_run
from DeepImagingLib.cli.train import add_train

DESCRIPTION = "Run MONAI bundles on medical images and write what 3D Slicer opens."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 done, 2 wrong input or a refused bundle, 1 anything else."""
    parsed = _parser().parse_args(arguments)
    set_up_logging(parsed.verbose)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every file name is text, nor every terminal UTF-8
    return guarded(lambda interrupt: parsed.command(parsed, interrupt))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="DeepImagingLib", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--verbose", action="store_true", help="log what is done, with tracebacks")
    commands = parser.add_subparsers(dest="name", required=True)
    add_run(commands.add_parser("run", help="run a bundle on one study"))
    add_batch(commands.add_parser("batch", help="run a bundle on many studies"))
    add_models(commands.add_parser("models", help="tell what bundles are there, add and remove your own"))
    add_train(commands.add_parser("train", help="train a model by its recipe"))
    add_evaluate(commands.add_parser("evaluate", help="measure a detector or a classifier"))
    add_info(commands.add_parser("info", help="tell versions, device and folders"))
    return parser
