"""Draw heatmaps of a classifier of chest radiographs: `python Testing/figures/xray_heatmaps.py FILE.png [--model …]`.

Above, made radiographs, one of each finding and one of none: heat is of the finding that was put in, and a line goes
round where it is. Below, the real ones in the folder that DEEPIMAGING_TEST_DATA names, of patients and of an animal:
heat is of the label they are told to show, where one is known and the model has it, else of the most probable. Nobody
has drawn where theirs are.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, from anywhere

from DeepImagingLib import Options, run
from DeepImagingLib.files.read import read
from DeepImagingLib.phantoms import chest_xray
from DeepImagingLib.phantoms.xray_findings import Finding
from DeepImagingLib.results import Classification

if TYPE_CHECKING:
    from monai.data import MetaTensor

SHIPPED = "chest_xray_findings_small"
REAL = {
    "cxr_nih_cardiomegaly.png": "cardiomegaly",
    "cxr_hannover_covid/*.png": "",
    "dx_thorax_animal_small.dcm": "",
}
COLUMNS = 6
WARM = 0.3  # share of a map's maximum from which on it is drawn


@dataclass(frozen=True)
class Panel:
    """A radiograph, what is known of it, and what a model says.

    Attributes:
        title: What it is.
        image: (1, I, J).
        label: Whose heatmap is drawn; the most probable if empty.
        region: (I, J) where that is, if anybody knows.
    """

    title: str
    image: MetaTensor
    label: str = ""
    region: npt.NDArray[np.bool_] | None = None


def main() -> None:
    """Run the model and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default=SHIPPED)
    parser.add_argument("--seed", type=int, default=1_000_500, help="of the first phantom; the others follow")
    parser.add_argument("--method", default="gradcam")
    chosen = parser.parse_args()
    data = Path(os.environ.get("DEEPIMAGING_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
    panels = [*made(chosen.seed), *real(data)]
    draw(panels, chosen.model, chosen.method, chosen.output)


def made(first: int) -> Iterator[Panel]:
    """Yield a radiograph with each finding, and one without."""
    for number, finding in enumerate((*Finding, None)):
        wanted = [finding.value] if finding else []
        images, truth = chest_xray.sample(first + number, findings=wanted, photometric="MONOCHROME2")
        region = truth.mask(wanted[0])[..., 0] if wanted else None
        yield Panel(f"made: {wanted[0] if wanted else 'none'}", images["cxr"], *wanted, region=region)


def real(data: Path) -> Iterator[Panel]:
    """Yield those in the folder."""
    for pattern, label in REAL.items():
        for path in sorted(data.glob(pattern)):
            yield Panel(path.stem[:24] + (f": told {label}" if label else ""), read(path), label)


def draw(panels: list[Panel], model: str, method: str, output: Path) -> None:
    """Write radiographs with their heat, and what the model says below each, as one PNG."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = -(-len(panels) // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(3.2 * COLUMNS, 4.4 * rows), squeeze=False)
    for place in axes.flat:
        place.axis("off")
    for place, panel in zip(axes.flat, panels):
        label = panel.label if panel.label in run(model, panel.image).labels else "top"
        result = run(model, panel.image, Options(heatmaps=(label,), method=method))
        draw_one(place, panel, result)
    figure.tight_layout()
    figure.savefig(output, dpi=100)


def draw_one(place: matplotlib.axes.Axes, panel: Panel, result: Classification) -> None:
    """Draw one radiograph."""
    heat = result.heatmaps[0]
    values = np.clip(heat.values[..., 0] / max(float(heat.values.max()), 1e-12), 0, 1).T
    place.imshow(panel.image.numpy()[0].T, cmap="gray")
    place.imshow(values, cmap="inferno", alpha=np.where(values > WARM, 0.45, 0.0), vmin=0, vmax=1)
    if panel.region is not None:
        place.contour(panel.region.T, [0.5], colors="cyan", linewidths=1)
    place.set_title(f"{panel.title}\nheat: {heat.label}", fontsize=9)
    told = [f"{label} {probability:.2f}" for label, probability in result.by_label.items()]
    unlike = "\nunlike what it was trained on" if result.is_unlike else ""
    lines = [", ".join(told[n : n + 2]) for n in range(0, len(told), 2)]
    place.text(0.5, -0.02, "\n".join(lines) + unlike, transform=place.transAxes, ha="center", va="top", fontsize=8)


if __name__ == "__main__":
    main()
