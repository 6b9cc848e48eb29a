"""Segment every volume of a folder in one go, with Slicer's Python and without its window.

    Slicer --no-main-window --python-script batch_in_slicer.py -- FOLDER OUTPUT [MODEL]

Called again, it goes on where it was stopped. Slicer ends with 0 where all is done, 1 where a study failed, 2 where
the input was wrong. `python -m DeepImagingLib batch` does the same outside Slicer.
"""

import sys
from pathlib import Path

from DeepImagingLib import Options, load_bundle
from DeepImagingLib.batch import Batch, find_studies
from DeepImagingLib.errors import DeepImagingError


def main(folder, output, model="torso_ct_segmentation"):
    try:
        bundle = load_bundle(model)
        studies = find_studies(folder, bundle, skip=output)
        batch = Batch(bundle, studies, Path(output), Options(device="auto"))
        entries = batch.run(ended=lambda entry: say(entry.error or f"{entry.seconds:.1f} s", entry.study.name))
    except DeepImagingError as error:
        say(error)
        return error.exit_code
    return 1 if any(entry.error for entry in entries) else 0


def say(text, about="batch"):
    sys.stdout.write(f"{about}: {text}\n")
    sys.stdout.flush()


def leave(code):
    """End Slicer, or this Python where it is none, with an exit code."""
    slicer = sys.modules.get("slicer")
    if hasattr(slicer, "app"):
        slicer.util.exit(code)
    else:
        sys.exit(code)


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if word != "--"]
    leave(main(*given) if len(given) in (2, 3) else 2)
