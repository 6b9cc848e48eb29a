"""`run`: one study."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib import study
from DeepImagingLib.cli.console import Interrupt, ProgressLine, print_json
from DeepImagingLib.cli.run_options import add_run_options, run_options
from DeepImagingLib.errors import InputError

if TYPE_CHECKING:
    from DeepImagingLib.hosts import Handle, Host, Outlook


def add_run(parser: argparse.ArgumentParser) -> None:
    """Say what words it takes."""
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT|NAME=INPUT", help="an image, a DICOM file or folder; several are channels"
    )
    add_run_options(parser)
    parser.add_argument(
        "--output", action="append", default=[], metavar="PATH", help=f"{', '.join(study.ENDINGS)}; repeatable"
    )
    parser.add_argument(
        "--roi", metavar="I0:I1,J0:J1,K0:K1|FILE", help="voxel ranges, a Slicer ROI (.mrk.json) or a mask"
    )
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder")
    parser.add_argument("--worker", action="store_true", help="run in a process of its own, as Slicer does")
    parser.add_argument(
        "--dry-run", action="store_true", help="tell what a run would do and what memory it takes; write nothing"
    )
    parser.add_argument("--json", action="store_true", help="print the report, or the plan, as JSON on stdout")
    parser.set_defaults(command=run_command)


def run_command(parsed: argparse.Namespace, interrupt: Interrupt) -> int:
    """Run one study and write what was asked for, or tell how that would go."""
    if not (parsed.output or parsed.dry_run):
        raise InputError(
            "No output is named; say what to write with --output PATH, or ask for the plan with --dry-run."
        )
    region = Path(parsed.roi) if parsed.roi and Path(parsed.roi).is_file() else None
    options = run_options(parsed, None if region else parsed.roi)  # a wrong word is told before anything is read
    outputs = tuple(Path(path) for path in parsed.output)
    inputs = parse_inputs(parsed.inputs)
    job = study.StudyJob(parsed.model, inputs, outputs, options, region, parsed.series, parsed.trust)
    if parsed.dry_run:
        outlook = foresee(job, interrupt, worker=parsed.worker)
        if parsed.json:
            print_json(outlook.as_plain())
        else:
            print(outlook.sentence)
        return 0
    summary = perform(job, interrupt, worker=parsed.worker)
    if parsed.json:
        print_json(summary.report)
    else:
        tell(summary, outputs)
    return 0


def perform(job: study.StudyJob, interrupt: Interrupt, *, worker: bool = False) -> study.Summary:
    """Do one study here, or in a process of its own, and show how far it is."""
    with _host(worker) as (host, listener):
        return study.perform(job, host, listener, interrupt)


def foresee(job: study.StudyJob, interrupt: Interrupt, *, worker: bool = False) -> Outlook:
    """Return how one study would go; an output that couldn't be written is told as well."""
    for path in job.outputs:
        study.checked_output(path, job.sources)
    with _host(worker) as (host, listener):
        outlook: Outlook = host.submit(study.DryRun(job), listener=listener, cancel=interrupt).result()
        return outlook


@contextmanager
def _host(worker: bool) -> Iterator[tuple[Host, Callable[[Handle], None]]]:
    """Give a host, and a listener that shows how far its job is."""
    from DeepImagingLib.hosts import InProcessHost, WorkerHost
    from DeepImagingLib.hosts.process import cores

    host = WorkerHost(threads=cores()) if worker else InProcessHost()
    with closing(host), ProgressLine(sys.stderr.isatty()) as line:
        yield host, lambda handle: line(handle.progress)


def parse_inputs(given: Sequence[str]) -> dict[str, Path]:
    """Return inputs by name; a lone one may go without. A file whose name holds "=" is taken as a file."""
    inputs: dict[str, Path] = {}
    for text in given:
        name, sign, path = text.partition("=")
        if not sign or Path(text).exists():
            name, path = study.UNNAMED, text
        if name in inputs:
            raise InputError("Several inputs are the channels of one study; give each its own name, NAME=FILE.")
        inputs[name] = Path(path).expanduser()
    return inputs


def tell(summary: study.Summary, outputs: Sequence[Path]) -> None:
    """Print notes, what was found and what was written."""
    for note in summary.report["provenance"]["notes"]:
        print(f"Note: {note}")
    if "findings" in summary.report:
        _tell_findings(summary.report)
    elif "probabilities" in summary.report:
        _tell_classes(summary.report)
    else:
        _tell_segments(summary, outputs)
    for path, (first, *further) in zip(outputs, summary.written, strict=True):
        if first != path.name and "segments" in summary.report:
            print("The segments overlap, so each has a file of its own.")
        print(", ".join([f"Wrote {path.absolute().with_name(first)}", *further]))


def _tell_findings(report: Mapping[str, Any]) -> None:
    for finding in report["findings"]:
        place = ", ".join(f"{value:.1f}" for value in finding["center_ras"])
        size = " × ".join(f"{value:.1f}" for value in finding["size_mm"])
        print(f"{finding['label']:<20} {finding['score']:.2f}  at ({place}) RAS mm, {size} mm")
    below = len(report["below_threshold"])
    if not report["findings"]:
        print(f"Nothing was found at a score of {report['threshold']:g} or above.")
    if below:
        print(f"{below} boxes scored lower; the files list them.")


def _tell_classes(report: Mapping[str, Any]) -> None:
    for label, probability in report["probabilities"].items():
        print(f"{label:<32} {probability:6.3f}{'  found' if label in report['found'] else ''}")
    if report["unlike_training_data"] and report["unlike_training_data"]["flagged"]:
        print("The input does not look like what the model was trained on; these numbers mean little.")
    for heat in report["heatmaps"]:
        if heat["doubt"]:
            print(f"{heat['label']} ({heat['method']}): {heat['doubt']}.")


def _tell_segments(summary: study.Summary, outputs: Sequence[Path]) -> None:
    from DeepImagingLib.scene.views import can_draw

    if any(study.ending_of(path) == ".png" for path in outputs) and not can_draw():
        print("Note: no OpenGL library was found, so matplotlib drew the picture instead of Slicer's views.")
    segments, volumes = summary.report["segments"], summary.millilitres
    for segment in segments:
        if volumes[segment["id"]] > 0:
            print(f"{segment['name']:<32} {shown_volume(volumes[segment['id']]):>10} mL")
    if not any(volumes.values()):
        print("Nothing was found.")


def shown_volume(millilitres: float) -> str:
    """Return a volume as tables show it; what would round to nothing is said to be less."""
    return f"{millilitres:,.1f}" if millilitres >= 0.1 else "< 0.1"
