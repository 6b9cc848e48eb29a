"""The thin face of the library: `python -m DeepImagingLib run | models | info`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from DeepImagingLib import __version__, study
from DeepImagingLib.errors import BundleError, DeepImagingError, InputError
from DeepImagingLib.options import Options, parse_roi

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle
    from DeepImagingLib.inference.progress import Progress
    from DeepImagingLib.results import Result

DESCRIPTION = "Run MONAI bundles on medical images and write what 3D Slicer opens."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 done, 2 wrong input or a refused bundle, 1 anything else."""
    parsed = _parser().parse_args(arguments)
    set_up_logging(parsed.verbose)
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
    models = commands.add_parser("models", help="tell what bundles are there").add_subparsers(
        dest="what", required=True
    )
    listing = models.add_parser("list", help="list the bundles in the model folders")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(command=list_models)
    showing = models.add_parser("show", help="tell what one bundle takes and gives")
    showing.add_argument("model", metavar="NAME|PATH")
    showing.add_argument("--trust", metavar="SHA256", help="let this exact content through unjudged")
    showing.add_argument("--json", action="store_true", help="as JSON")
    showing.set_defaults(command=show_model)
    info = commands.add_parser("info", help="tell versions, device and folders")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(command=show_info)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT|NAME=INPUT", help="an image, a DICOM file or folder; several are channels"
    )
    parser.add_argument("--model", required=True, metavar="NAME|PATH", help="a bundle; `models list` tells the names")
    parser.add_argument(
        "--output", action="append", required=True, metavar="PATH", help=f"{', '.join(study.ENDINGS)}; repeatable"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--precision", default="auto", help="auto, or full: as stock MONAI, voxel for voxel")
    parser.add_argument(
        "--roi", metavar="I0:I1,J0:J1,K0:K1|FILE", help="voxel ranges, a Slicer ROI (.mrk.json) or a mask"
    )
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder")
    parser.add_argument("--trust", metavar="SHA256", help="let a bundle of this exact content through unjudged")
    parser.add_argument("--json", action="store_true", help="print the report as JSON on stdout")
    parser.set_defaults(command=run_command)


def run_command(parsed: argparse.Namespace, interrupt: Interrupt) -> int:
    """Run one study and write what was asked for."""
    from DeepImagingLib.files import read_roi, report

    inputs = parse_inputs(parsed.inputs)
    outputs = [Path(path) for path in parsed.output]
    region_file = Path(parsed.roi) if parsed.roi and Path(parsed.roi).is_file() else None
    ranges = parse_roi(parsed.roi) if parsed.roi and region_file is None else None
    Options(parsed.device, parsed.precision, ranges)  # a wrong word is told before anything is read

    def read_images() -> dict[str, MetaTensor]:
        from DeepImagingLib import files

        images = {}
        for name, path in inputs.items():
            study.stop_if(interrupt)
            images[name] = files.read(path, series=parsed.series)
        return images

    def make_options(images: Mapping[str, MetaTensor]) -> Options:
        roi = ranges if region_file is None else read_roi(region_file, next(iter(images.values())))
        return Options(parsed.device, parsed.precision, roi)

    with ProgressLine(sys.stderr.isatty()) as line:
        result = study.process(
            parsed.model,
            read_images,
            outputs,
            make_options,
            sources=[*inputs.values(), *([region_file] if region_file else [])],
            trust=parsed.trust,
            progress=line,
            cancel=interrupt,
        )
    if parsed.json:
        print_json(report(result))
    else:
        tell(result, outputs)
    return 0


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

    def __call__(self, progress: Progress) -> None:
        """Show a `Progress`."""
        if self._shown:
            left = f", {progress.seconds_left:.0f} s left" if progress.seconds_left else ""
            sys.stderr.write(f"\r\x1b[K{progress.stage} {100 * progress.fraction:.0f} %{left}")
            sys.stderr.flush()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")


def tell(result: Result, outputs: Sequence[Path]) -> None:
    """Print notes, volumes and what was written."""
    from DeepImagingLib.scene.views import can_draw

    for note in result.provenance.notes if result.provenance else ():
        print(f"Note: {note}")
    if any(study.ending_of(path) == ".png" for path in outputs) and not can_draw():
        print("Note: no OpenGL library was found, so matplotlib drew the picture instead of Slicer's views.")
    volumes = result.millilitres()
    for segment in result.segments:
        if volumes[segment.id] > 0:
            print(f"{segment.name:<32} {shown_volume(volumes[segment.id]):>10} mL")
    if not any(volumes.values()):
        print("Nothing was found.")
    for path in outputs:
        if study.ending_of(path) == ".nii.gz" and not result.exclusive:
            names = ", ".join(f"{path.name[:-7]}_{s.id}.nii.gz" for s in result.segments)
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
