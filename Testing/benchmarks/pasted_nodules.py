"""Simulated nodules pasted into a real chest CT: how many a detector finds by diameter, and what else it boxes.

    python -m Testing.benchmarks.pasted_nodules [--model NAME|FOLDER] [--copies N] [--picture FILE.png]

The scan is that of a patient with one large tumour (4D-Lung 113_HM10395 of The Cancer Imaging Archive, CC BY 3.0);
boxes on the structures that its radiologists outlined are no false positives.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from monai.data import MetaTensor
from scipy.ndimage import binary_fill_holes, distance_transform_edt
from scipy.special import ndtr

from DeepImagingLib import files, load_bundle, run
from DeepImagingLib.results import Detections
from Testing.benchmarks.hounsfield_rules import by_rules

MODEL = "lung_nodule_ct_detection_small"
DATA = Path(os.environ.get("DEEPIMAGING_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
SCAN, OUTLINES = DATA / "ct_chest_4dlung.nii.gz", DATA / "ct_chest_4dlung_rois.nii.gz"

DIAMETERS_MM = (5.0, 6.0, 8.0, 10.0, 14.0, 20.0, 28.0)
SOLID_HU, SUBSOLID_HU = (10.0, 70.0), (-600.0, -400.0)
SUBSOLID = 0.2  # share of them
SHARPNESS_MM = 0.9  # standard deviation of the scanner's blur across an edge
GRAIN_HU = 12.0
APART_MM = 15.0  # between the surfaces of two
AERATED_HU = -600  # what a nodule takes the place of is on average no denser

Image = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pasted:
    """A nodule: its centre in RAS mm, and what it looks like."""

    center: tuple[float, float, float]
    diameter: float
    solid: bool


def paste(image: Image, affine: Vector, diameters: tuple[float, ...], seed: int) -> tuple[Image, list[Pasted]]:
    """Return a scan (I, J, K) in HU with a nodule of each diameter somewhere in aerated lung, as far as there is room.

    A nodule is an ellipsoid, blurred as the scanner blurs, with its grain; axes differ by a tenth.
    """
    rng = np.random.default_rng(seed)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    found = by_rules(image, affine)
    lungs = found["right lung"] | found["left lung"]
    lungs = np.stack([binary_fill_holes(lungs[..., k]) for k in range(lungs.shape[2])], -1)  # vessels are lung too
    depth = distance_transform_edt(lungs, sampling=spacing)
    image, nodules = image.copy(), []
    for diameter in sorted(diameters, reverse=True):
        places = np.argwhere(depth > diameter / 2 + 1)
        for voxel in places[rng.permutation(len(places))[:200]]:
            center = affine[:3, :3] @ (voxel + rng.uniform(-0.5, 0.5, 3)) + affine[:3, 3]
            gaps = [np.linalg.norm(center - n.center) - (n.diameter + diameter) / 2 for n in nodules]
            radii = diameter / 2 * rng.uniform(0.95, 1.05, 3)
            box, share = _share(image.shape, affine, center, radii)
            if min(gaps, default=np.inf) > APART_MM and np.average(image[box], weights=share) < AERATED_HU:
                nodule = Pasted(
                    (float(center[0]), float(center[1]), float(center[2])), diameter, rng.random() > SUBSOLID
                )
                value = rng.uniform(*(SOLID_HU if nodule.solid else SUBSOLID_HU))
                denser = np.maximum(image[box], value + rng.normal(0, GRAIN_HU, share.shape))
                image[box] += (share * (denser - image[box])).astype(np.float32)
                nodules.append(nodule)
                break
    return image, nodules


def _share(shape: tuple[int, ...], affine: Vector, center: Vector, radii: Vector) -> tuple[tuple[slice, ...], Vector]:
    """Return a box of voxels around an ellipsoid, and how much of each the nodule fills."""
    middle = np.linalg.solve(affine[:3, :3], center - affine[:3, 3])
    reach = (radii.max() + 4 * SHARPNESS_MM) / np.linalg.norm(affine[:3, :3], axis=0)
    low, high = np.floor(middle - reach).astype(int), np.ceil(middle + reach).astype(int) + 1
    box = tuple(slice(max(0, int(a)), min(n, int(b))) for a, b, n in zip(low, high, shape, strict=True))
    fine = np.stack(np.meshgrid(*[np.linspace(-1 / 3, 1 / 3, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    voxels = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), -1)
    points = (voxels[..., None, :] + fine) @ affine[:3, :3].T + affine[:3, 3] - center
    outside = (np.linalg.norm(points / radii, axis=-1) - 1) * radii.mean()
    return box, np.asarray(ndtr(-outside / SHARPNESS_MM).mean(axis=-1))


def score_of(nodule: Pasted, found: Detections) -> float:
    """Return the highest score of a box whose middle lies in the nodule; 0 where there is none."""
    hits = [b.score for b in found.boxes if np.linalg.norm(np.subtract(b.center, nodule.center)) < nodule.diameter / 2]
    return max(hits, default=0.0)


def others(found: Detections, nodules: list[Pasted], outlines: MetaTensor) -> list[float]:
    """Return the scores of findings on no nodule and on none of the outlined structures."""
    inverse, marked = np.linalg.inv(np.asarray(outlines.affine, float)), outlines.numpy()[0] > 0
    scores = []
    for box in found.findings:
        i, j, k = np.rint((inverse @ [*box.center, 1])[:3]).astype(int)
        near = marked[max(0, i - 2) : i + 3, max(0, j - 2) : j + 3, max(0, k - 2) : k + 3].any()
        on_nodule = any(np.linalg.norm(np.subtract(box.center, n.center)) < n.diameter / 2 for n in nodules)
        if not (near or on_nodule):
            scores.append(box.score)
    return scores


def main() -> None:
    """Run all copies and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--copies", type=int, default=6, help="of the scan, each with other nodules")
    parser.add_argument("--picture", type=Path, help="of each nodule of the first copy")
    given = parser.parse_args()
    bundle, scan, outlines = load_bundle(given.model), files.read(SCAN), files.read(OUTLINES)
    affine = np.asarray(scan.affine, float)
    plain = run(bundle, scan)
    assert isinstance(plain, Detections)
    seconds = sum(plain.provenance.seconds.values()) if plain.provenance else float("nan")
    print(f"As it is: {len(others(plain, [], outlines))} other boxes at {plain.threshold:g}, in {seconds:.0f} s")
    results: list[tuple[Pasted, float]] = []
    false: list[int] = []
    for copy in range(given.copies):
        image, nodules = paste(scan.numpy()[0], affine, DIAMETERS_MM, seed=copy)
        found = run(bundle, MetaTensor(image[None], affine=scan.affine))
        assert isinstance(found, Detections)
        results += [(nodule, score_of(nodule, found)) for nodule in nodules]
        false.append(len(others(found, nodules, outlines)))
        if given.picture and not copy:
            _draw(given.picture, image, affine, results)
    print("| diameter | solid | subsolid |\n|---|---|---|")
    for diameter in DIAMETERS_MM:
        cells = [
            _cell([s for n, s in results if (n.diameter, n.solid) == (diameter, kind)], plain) for kind in (True, False)
        ]
        print(f"| {diameter:g} mm | {' | '.join(cells)} |")
    wanted = [score for nodule, score in results if nodule.solid and 6 <= nodule.diameter <= 20]
    print(f"Solid ones of 6 to 20 mm: {_cell(wanted, plain)}")
    print(f"Other boxes a scan: {np.mean(false):.1f}, {max(false)} at most")


def _cell(scores: list[float], found: Detections) -> str:
    hits = sum(score >= found.threshold for score in scores)
    return f"{hits} of {len(scores)}" if scores else "–"


def _draw(path: Path, image: Image, affine: Vector, results: list[tuple[Pasted, float]]) -> None:
    """Draw each nodule in its axial slice, with its score."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.2 * len(results), 2.5), layout="constrained")
    for place, (nodule, score) in enumerate(results, 1):
        i, j, k = np.rint(np.linalg.solve(affine[:3, :3], nodule.center - affine[:3, 3])).astype(int)
        axes = figure.add_subplot(1, len(results), place)
        cut = image[max(0, i - 20) : i + 21, max(0, j - 20) : j + 21, k]
        axes.imshow(cut.T, cmap="gray", vmin=-1000, vmax=300)
        axes.set_title(f"{nodule.diameter:g} mm {'' if nodule.solid else 'subsolid'}\nscore {score:.2f}", fontsize=8)
        axes.axis("off")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
