"""The words that say how to run, the same for one study and for many."""

from __future__ import annotations

import argparse

from DeepImagingLib.options import METHODS, Options, parse_memory, parse_roi


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Say what words they are."""
    parser.add_argument("--model", required=True, metavar="NAME|PATH", help="a bundle; `models list` tells the names")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--precision", default="auto", help="full: as stock MONAI; half: quicker; auto: half if the mask stays"
    )
    parser.add_argument("--memory-limit", metavar="SIZE", help="of the device that computes, such as 4GB or 1.5GiB")
    parser.add_argument(
        "--probabilities", metavar="NAME[,NAME...]", help="labels whose probability volumes are written too, or `all`"
    )
    parser.add_argument("--tta", default="", metavar="AXES", help="average over mirror images along these axes of ijk")
    parser.add_argument(
        "--heatmaps",
        metavar="NAME[,NAME...]",
        help="labels of a classifier to show what it saw of: `top` (what is found, or most probable), `all`, names",
    )
    parser.add_argument("--method", default=METHODS[0], choices=METHODS, help="how heatmaps are made")
    parser.add_argument("--layer", default="", help="of the network, for class activation maps; the last by default")
    parser.add_argument("--trust", metavar="SHA256", help="let a bundle of this exact content through unjudged")


def run_options(parsed: argparse.Namespace, roi: str | None) -> Options:
    """Return the options that were given.

    Args:
        parsed: The words.
        roi: Voxel ranges, "I0:I1,J0:J1,K0:K1".

    Raises:
        InputError: A word can't be used.
    """
    return Options(
        device=parsed.device,
        precision=parsed.precision,
        roi=parse_roi(roi) if roi else None,
        memory_limit=parse_memory(parsed.memory_limit) if parsed.memory_limit else None,
        probabilities=_names(parsed.probabilities),
        tta=parsed.tta,
        heatmaps=_names(parsed.heatmaps),
        method=parsed.method,
        layer=parsed.layer,
    )


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()
