"""The thin face of the library: `python -m DeepImagingLib run | batch | models | info`."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from DeepImagingLib import __version__, study
from DeepImagingLib.errors import BundleError, DeepImagingError, InputError, TrustError
from DeepImagingLib.options import Options, parse_roi

if TYPE_CHECKING:
    from DeepImagingLib.batch import Entry
    from DeepImagingLib.bundles import Bundle
    from DeepImagingLib.inference.progress import Progress

DESCRIPTION = "Run MONAI bundles on medical images and write what 3D Slicer opens."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 done, 2 wrong input or a refused bundle, 1 anything else."""
    parsed = _parser().parse_args(arguments)
    set_up_logging(parsed.verbose)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every file name is text, nor every terminal UTF-8
    return guarded(lambda interrupt: parsed.command(parsed, interrupt))


def set_up_logging(verbose: bool = False) -> None:
    """Log to stderr; warnings of other libraries are for --verbose, not for users."""
    logging.captureWarnings(True)
    level = logging.DEBUG if verbose else logging.ERROR
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the words in one sentence, like every other error."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and end with the exit code of wrong input."""
        self.exit(InputError.exit_code, f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.\n")


class Interrupt:
    """Turns Ctrl-C, and being ended, into a wish to cancel, from entering the context to leaving it.

    Nothing is raised: an exception in the middle of an import, of a transform or of moving files into place would be
    swallowed, taken for another error, or leave half of them. The run asks for the wish at each of its steps.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Tell whether the user asked to stop."""
        return self._asked

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, *_: object) -> None:
        self._asked = True


def guarded(command: Callable[[Interrupt], int]) -> int:
    """Return what `command` does, or the exit code of its error, said in one sentence on stderr."""
    log = logging.getLogger(__name__)
    try:
        with Interrupt() as interrupt:
            return command(interrupt)
    except DeepImagingError as error:
        log.debug("traceback", exc_info=True)
        _say(str(error))
        return error.exit_code
    except MemoryError:
        _say("The run needs more memory than this machine has; limit it to a region with --roi.")
        return 1
    except Exception as error:
        log.debug("traceback", exc_info=True)
        reason = " ".join(str(error).split())[:300]
        _say(f"Something unexpected went wrong ({type(error).__name__}: {reason}); see --verbose.")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="DeepImagingLib", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--verbose", action="store_true", help="log what is done, with tracebacks")
    commands = parser.add_subparsers(dest="name", required=True)
    _add_run(commands.add_parser("run", help="run a bundle on one study"))
    _add_batch(commands.add_parser("batch", help="run a bundle on many studies"))
    _add_models(commands.add_parser("models", help="tell what bundles are there, add and remove your own"))
    info = commands.add_parser("info", help="tell versions, device and folders")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(command=show_info)
    return parser


def _add_models(parser: argparse.ArgumentParser) -> None:
    models = parser.add_subparsers(dest="what", required=True)
    listing = models.add_parser("list", help="list the bundles in the model folders")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(command=list_models)
    showing = models.add_parser("show", help="tell what one bundle takes and gives")
    showing.add_argument("model", metavar="NAME|PATH")
    showing.add_argument("--trust", metavar="SHA256", help="let this exact content through unjudged")
    showing.add_argument("--json", action="store_true", help="as JSON")
    showing.set_defaults(command=show_model)
    adding = models.add_parser("add", help="copy a bundle into your model folder")
    adding.add_argument("path", metavar="PATH", help="its folder, or a zip archive of it")
    adding.add_argument("--replace", action="store_true", help="take the place of a model of the same name")
    adding.set_defaults(command=add_model)
    removing = models.add_parser("remove", help="delete a model of your own")
    removing.add_argument("model", metavar="NAME")
    removing.set_defaults(command=remove_model)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT|NAME=INPUT", help="an image, a DICOM file or folder; several are channels"
    )
    _add_model(parser)
    parser.add_argument(
        "--output", action="append", required=True, metavar="PATH", help=f"{', '.join(study.ENDINGS)}; repeatable"
    )
    parser.add_argument(
        "--roi", metavar="I0:I1,J0:J1,K0:K1|FILE", help="voxel ranges, a Slicer ROI (.mrk.json) or a mask"
    )
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder")
    parser.add_argument("--worker", action="store_true", help="run in a process of its own, as Slicer does")
    parser.add_argument("--json", action="store_true", help="print the report as JSON on stdout")
    parser.set_defaults(command=run_command)


def _add_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="FOLDER|LIST.csv",
        help="with image files or folders of DICOM files; or a list with a column `input`, or one for each channel",
    )
    _add_model(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="a folder for the results alone")
    parser.add_argument("--format", action="append", help=".seg.nrrd (default), .nii.gz, .mrb or .png; repeatable")
    parser.add_argument("--roi", metavar="I0:I1,J0:J1,K0:K1", help="voxel ranges")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that share the cores")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give a study up after that time")
    parser.add_argument(
        "--replace", action="store_true", help="edited results, or those of another model or image, may be replaced"
    )
    parser.add_argument("--retry-failed", action="store_true", help="run again what failed in an earlier call")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")
    parser.set_defaults(command=run_batch)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="NAME|PATH", help="a bundle; `models list` tells the names")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--precision", default="auto", help="auto, or full: as stock MONAI, voxel for voxel")
    parser.add_argument("--trust", metavar="SHA256", help="let a bundle of this exact content through unjudged")


def run_command(parsed: argparse.Namespace, interrupt: Interrupt) -> int:
    """Run one study and write what was asked for."""
    region = Path(parsed.roi) if parsed.roi and Path(parsed.roi).is_file() else None
    ranges = parse_roi(parsed.roi) if parsed.roi and region is None else None
    options = Options(parsed.device, parsed.precision, ranges)  # a wrong word is told before anything is read
    outputs = tuple(Path(path) for path in parsed.output)
    inputs = parse_inputs(parsed.inputs)
    job = study.StudyJob(parsed.model, inputs, outputs, options, region, parsed.series, parsed.trust)
    summary = perform(job, interrupt, worker=parsed.worker)
    if parsed.json:
        print_json(summary.report)
    else:
        tell(summary, outputs)
    return 0


def perform(job: study.StudyJob, interrupt: Interrupt, *, worker: bool = False) -> study.Summary:
    """Do one study here, or in a process of its own, and show how far it is."""
    from DeepImagingLib.hosts import InProcessHost, WorkerHost
    from DeepImagingLib.hosts.process import cores

    host = WorkerHost(threads=cores()) if worker else InProcessHost()
    with closing(host), ProgressLine(sys.stderr.isatty()) as line:
        return study.perform(job, host, lambda handle: line(handle.progress), interrupt)


def run_batch(parsed: argparse.Namespace, interrupt: Interrupt) -> int:
    """Run many studies; returns 1 where some of them failed."""
    from DeepImagingLib.batch import Batch, find_studies
    from DeepImagingLib.bundles import load_bundle

    if not parsed.output:
        raise InputError("The name of the output folder is empty; name a folder for the results alone (--output).")
    options = Options(parsed.device, parsed.precision, parse_roi(parsed.roi) if parsed.roi else None)
    bundle = load_bundle(parsed.model, trust=parsed.trust)
    studies = find_studies(parsed.source, bundle, skip=parsed.output)
    batch = Batch(
        bundle,
        studies,
        Path(parsed.output),
        options,
        parsed.format or [".seg.nrrd"],
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


class ProgressLine:
    """Shows progress as one line of a terminal that is written over.

    Args:
        shown: False keeps silent.
    """

    def __init__(self, shown: bool) -> None:
        self._shown = shown

    def __call__(self, progress: Progress | None) -> None:
        """Show a `Progress`."""
        if self._shown and progress is not None:
            left = f", {progress.seconds_left:.0f} s left" if progress.seconds_left else ""
            sys.stderr.write(f"\r\x1b[K{progress.stage} {100 * progress.fraction:.0f} %{left}")
            sys.stderr.flush()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the line."""
        self.clear()

    def clear(self) -> None:
        """Clear the line, so that something else can be written."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")


def tell(summary: study.Summary, outputs: Sequence[Path]) -> None:
    """Print notes, volumes and what was written."""
    from DeepImagingLib.scene.views import can_draw

    for note in summary.report["provenance"]["notes"]:
        print(f"Note: {note}")
    if any(study.ending_of(path) == ".png" for path in outputs) and not can_draw():
        print("Note: no OpenGL library was found, so matplotlib drew the picture instead of Slicer's views.")
    segments, volumes = summary.report["segments"], summary.millilitres
    for segment in segments:
        if volumes[segment["id"]] > 0:
            print(f"{segment['name']:<32} {shown_volume(volumes[segment['id']]):>10} mL")
    if not any(volumes.values()):
        print("Nothing was found.")
    for path in outputs:
        if study.ending_of(path) == ".nii.gz" and not summary.exclusive:
            names = ", ".join(f"{path.name[:-7]}_{s['id']}.nii.gz" for s in segments)
            print(f"The segments overlap, so each has a file of its own in {path.absolute().parent}: {names}")
        else:
            print(f"Wrote {path.absolute()}")


def list_models(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Print the bundles in the model folders; one that can't be read is listed with the reason."""
    from DeepImagingLib.bundles import list_bundles, load_bundle

    rows = []
    for path in list_bundles():
        try:
            bundle = load_bundle(path)
            rows.append(
                {"name": bundle.name, "version": bundle.version, "task": bundle.task, "labels": len(_found(bundle))}
            )
        except BundleError as error:
            rows.append({"name": path.name, "problem": str(error)})
    if parsed.json:
        print_json(rows)
        return 0
    for row in rows:
        details = row.get("problem") or f"{row['version']:<10} {row['task']:<16} {row['labels']} structures"
        print(f"{row['name']:<36} {details}")
    return 0


def _found(bundle: Bundle) -> list[str]:
    """Return the names of what a bundle finds, without its background."""
    return [name for name in bundle.labels.values() if name.lower() != "background"]


def show_model(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Print what one bundle takes, gives and says of itself."""
    from DeepImagingLib.bundles import load_bundle

    bundle = load_bundle(parsed.model, trust=parsed.trust)
    told = {
        "name": bundle.name,
        "version": bundle.version,
        "task": bundle.task,
        "description": bundle.metadata.get("description", ""),
        "intended use": bundle.metadata.get("intended_use", ""),
        "measured": bundle.metadata.get("eval_metrics", {}),
        "made of": bundle.metadata.get("data_source", ""),
        "inputs": list(bundle.channels),
        "modality": bundle.modality,
        "finds": _found(bundle),
        "notes": list(bundle.notes),
        "folder": str(bundle.path),
        "sha256": bundle.sha256,
    }
    _print_table(told, parsed.json)
    return 0


def add_model(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Copy a bundle into the user's model folder, and say what it takes to run it."""
    from DeepImagingLib.bundles import load_bundle
    from DeepImagingLib.bundles.add import add_bundle

    folder = add_bundle(parsed.path, replace=parsed.replace)
    print(f"Added {folder.name}: {folder}")
    try:
        load_bundle(folder)
    except TrustError as error:
        print(f"Note: {error}")
    return 0


def remove_model(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Delete one of the user's own models."""
    from DeepImagingLib.bundles.add import remove_bundle

    remove_bundle(parsed.model)
    print(f"Removed {parsed.model}.")
    return 0


def show_info(parsed: argparse.Namespace, _: Interrupt) -> int:
    """Print versions, device and folders."""
    import platform
    from importlib import metadata

    import torch

    from DeepImagingLib.bundles import find
    from DeepImagingLib.inference.device import choose_device
    from DeepImagingLib.scene import available

    libraries = ("torch", "monai", "numpy", "SimpleITK", "nibabel", "pydicom", "slicer-core")
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    device = choose_device("auto")
    told = {
        "DeepImaging": __version__,
        "Python": platform.python_version(),
        **{name: installed.get(name.lower(), "not installed") for name in libraries},
        "device": f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device),
        "cores": os.cpu_count(),
        "Slicer scene": "yes" if available() else "no",
        "shipped models": str(find.shipped_model_folder()),
        "your models": str(find.user_model_folder()),
    }
    _print_table(told, parsed.json)
    return 0


def _print_table(told: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        if isinstance(value, Mapping):
            value = "".join(f"\n    {k}: {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        print(f"{name + ':':<16} {value}")


def shown_volume(millilitres: float) -> str:
    """Return a volume as tables show it; what would round to nothing is said to be less."""
    return f"{millilitres:,.1f}" if millilitres >= 0.1 else "< 0.1"


def print_json(value: Any) -> None:
    """Print a plain value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _say(message: str) -> None:
    print(message, file=sys.stderr)
