"""Nodules are pasted where they are said to be; how many a detector finds is not tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from DeepImagingLib.files import read
from Testing.benchmarks.pasted_nodules import DIAMETERS_MM, paste


def test_nodules_are_of_their_size_and_in_air(real_scans: Path) -> None:
    scan = read(real_scans / "ct_chest_4dlung.nii.gz")
    image, affine = scan.numpy()[0], np.asarray(scan.affine, float)
    after, nodules = paste(image, affine, DIAMETERS_MM, seed=0)
    assert len(nodules) >= len(DIAMETERS_MM) - 1, "there may be no room for the largest"
    added = after.astype(float) - image
    points = np.argwhere(added > 1) @ affine[:3, :3].T + affine[:3, 3]
    gaps = [np.linalg.norm(points - n.center, axis=1) - n.diameter / 2 for n in nodules]
    assert np.min(gaps, axis=0).max() < 8, "nothing else changes"
    for nodule in nodules:
        voxels = np.linalg.norm(points - nodule.center, axis=1) < nodule.diameter / 2 + 6
        i, j, k = np.rint(np.linalg.solve(affine[:3, :3], nodule.center - affine[:3, 3])).astype(int)
        assert added[i, j, k] > 50 and voxels.any()


def test_a_seed_gives_the_same_scan(real_scans: Path) -> None:
    scan = read(real_scans / "ct_chest_4dlung.nii.gz")
    first, second = (paste(scan.numpy()[0], np.asarray(scan.affine, float), (8.0,), seed=3)[0] for _ in range(2))
    assert np.array_equal(first, second)
