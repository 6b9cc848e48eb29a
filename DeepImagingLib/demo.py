"""The main job on its embedded default: a made torso CT through the shipped bundle, as a scene that Slicer opens."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from DeepImagingLib import study
from DeepImagingLib.cli.console import Interrupt, Parser, guarded, set_up_logging
from DeepImagingLib.cli.run import perform, tell

MODEL = "torso_ct_segmentation"
OUTPUTS = ("segmentation.seg.nrrd", "scene.mrb", "overview.png", "report.json")
SEED = 1_000_000  # a test seed: the model has not seen this torso
SPACING = (2.0, 2.0, 2.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns 0 done, 2 wrong input, 1 anything else."""
    parser = Parser(prog="demo", description=__doc__)
    parser.add_argument("--input", metavar="FILE", help="a CT of your own instead of the made one")
    parser.add_argument("--output", metavar="DIR", default="demo", help="where to write (default: demo)")
    parsed = parser.parse_args(arguments)
    set_up_logging()
    return guarded(lambda interrupt: run_demo(parsed.input, Path(parsed.output), interrupt))


def run_demo(given: str | None, folder: Path, interrupt: Interrupt) -> int:
    """Segment the given CT, or a made one, into `folder` and say what to do next."""
    print(f"Segmenting {given or f'a made torso CT (phantom, seed {SEED})'} with {MODEL} ...", flush=True)
    outputs = tuple(folder / name for name in OUTPUTS)
    source = Path(given) if given else study.Phantom(SEED, SPACING)
    summary = perform(study.StudyJob(MODEL, {study.UNNAMED: source}, outputs), interrupt)
    tell(summary, outputs)
    print(
        f"\nLook at {outputs[2].absolute()} now, or drag {outputs[1].name} into 3D Slicer.\n"
        "Next: give it a CT of your own with --input FILE (NIfTI, NRRD, or a DICOM folder); README.md shows the\n"
        "command line and the batch script. The model is a demonstration, not for clinical use."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
