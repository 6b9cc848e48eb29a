"""`batch`: many studies."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from DeepImagingLib.cli.console import Interrupt, ProgressLine, print_json
from DeepImagingLib.cli.run_options import add_run_options, run_options
from DeepImagingLib.errors import InputError
from DeepImagingLib.study import ENDINGS, REPORT

if TYPE_CHECKING:
    from DeepImagingLib.batch import Entry


def add_batch(parser: argparse.ArgumentParser) -> None:
    """Say what words it takes."""
    parser.add_argument(
        "source",
        metavar="FOLDER|LIST.csv",
        help="with image files or folders of DICOM files; or a list with a column `input`, or one for each channel",
    )
    add_run_options(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="a folder for the results alone")
    formats = ", ".join(ending for ending in ENDINGS if ending != REPORT)
    parser.add_argument(
        "--format", action="append", help=f"{formats}; repeatable; by default masks (.seg.nrrd) or boxes (.csv)"
    )
    parser.add_argument("--roi", metavar="I0:I1,J0:J1,K0:K1", help="voxel ranges")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that share the cores")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give a study up after that time")
    parser.add_argument(
        "--replace", action="store_true", help="edited results, or those of another model or image, may be replaced"
    )
    parser.add_argument("--retry-failed", action="store_true", help="run again what failed in an earlier call")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")
    parser.set_defaults(command=run_batch)


def run_batch(parsed: argparse.Namespace, interrupt: Interrupt) -> int:
    """Run many studies; returns 1 where some of them failed."""
    from DeepImagingLib.batch import Batch, find_studies
    from DeepImagingLib.bundles import load_bundle

    if not parsed.output:
        raise InputError("The name of the output folder is empty; name a folder for the results alone (--output).")
    options = run_options(parsed, parsed.roi)
    bundle = load_bundle(parsed.model, trust=parsed.trust)
    studies = find_studies(parsed.source, bundle, skip=parsed.output)
    batch = Batch(
        bundle,
        studies,
        Path(parsed.output),
        options,
        parsed.format or (),
        parsed.workers,
        parsed.timeout,
        parsed.replace,
        parsed.retry_failed,
    )
    with ProgressLine(sys.stderr.isatty()) as line:

        def ended(entry: Entry) -> None:
            line.clear()
            if not parsed.json:
                print(f"{entry.study.name}: {'failed' if entry.error else f'{entry.seconds:.1f} s'}", flush=True)

        entries = batch.run(line, ended, interrupt)
    failed = [entry for entry in entries if entry.error]
    if parsed.json:
        print_json([entry.as_plain() for entry in entries])
    else:
        _tell_batch(entries, failed, batch.output)
    return 1 if failed else 0


def _tell_batch(entries: Sequence[Entry], failed: Sequence[Entry], folder: Path) -> None:
    earlier = sum(entry.earlier for entry in entries)
    print(f"{len(entries) - len(failed)} of {len(entries)} studies are done ({earlier} ended in an earlier call).")
    for entry in failed:
        print(f"Failed: {entry.study.name}: {entry.error}")
    if any(entry.earlier for entry in failed):
        print("What failed earlier was left; --retry-failed runs it again.")
    print(f"Wrote {folder / 'summary.csv'}")
