"""The road on real scans, as they come from hospitals; skipped where the folder of scans is absent."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing

from DeepImagingLib import run
from DeepImagingLib.bundles.find import find_bundle
from DeepImagingLib.cli import main
from DeepImagingLib.errors import InputError
from DeepImagingLib.files import read
from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.results import Segmentation
from Testing.grids import AXIS_CODES

MODEL = "torso_ct_segmentation"
FINDINGS = "chest_xray_findings_small"


class TestReading:
    def test_a_compressed_series_without_uids_is_read(self, real_scans: Path) -> None:
        image = read(real_scans / "ct_abdomen_dicom")
        assert image.shape == (1, 512, 512, 20)
        assert image.min() == -1024
        spacing = np.linalg.norm(np.asarray(image.affine)[:3, :3], axis=0)
        np.testing.assert_allclose(spacing, [0.977, 0.977, 2], atol=1e-3)

    def test_a_lying_modality_does_not_stop_it(self, real_scans: Path) -> None:
        assert read(real_scans / "head_dicom_torchio").shape == (1, 88, 128, 17)

    def test_the_dicom_slices_are_those_of_the_nifti(self, real_scans: Path, tmp_path: Path) -> None:
        zipfile.ZipFile(real_scans / "ct_chest_4dlung_dicom_z46-77.zip").extractall(tmp_path)
        dicom, nifti = read(tmp_path), read(real_scans / "ct_chest_4dlung.nii.gz")
        center = np.asarray(dicom.affine) @ [255.5, 255.5, 15, 1]
        i, j, k = np.rint(np.linalg.inv(np.asarray(nifti.affine)) @ center)[:3].astype(int)
        around = dicom.numpy()[0, 246:266, 246:266, 15].mean()
        assert nifti.numpy()[0, i - 5 : i + 5, j - 5 : j + 5, k].mean() == pytest.approx(around, abs=40)

    def test_a_tilted_head_with_uneven_gaps_is_refused_with_both_named(
        self, real_scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        zipfile.ZipFile(real_scans / "ct_head_ge_tilt_dicom.zip").extractall(tmp_path / "head")
        code = main(["run", str(tmp_path / "head"), "--model", MODEL, "--output", str(tmp_path / "out.seg.nrrd")])
        said = capsys.readouterr().err
        assert code == 2
        assert "tilted by 18.5°" in said
        assert "unequal, from 1.08 to 7.00 mm" in said

    def test_a_folder_of_everything_lists_its_series(self, real_scans: Path) -> None:
        with pytest.raises(InputError, match=r"holds \d+ series; choose one"):
            read(real_scans)

    def test_a_dicom_segmentation_is_no_input(self, real_scans: Path) -> None:
        with pytest.raises(InputError, match="is a DICOM segmentation"):
            read(real_scans / "ct_3slice_liver_SEG.dcm")


class TestSides:
    def test_liver_and_spleen_are_found_on_their_sides(self, real_scans: Path) -> None:
        result = run(MODEL, real_scans / "ct_abdomen_dicom")
        reference = read(real_scans / "ct_abdomen_dicom_seg.nii.gz")
        for name, number in (("liver", 5), ("spleen", 1)):
            found = _center(result.mask(name), result.affine)
            expected = _center(reference.numpy()[0] == number, np.asarray(reference.affine))
            assert np.linalg.norm(found - expected) < 30, name

    def test_the_lungs_are_found_on_their_sides(self, real_scans: Path) -> None:
        result = run(MODEL, real_scans / "ct_chest_4dlung.nii.gz")
        volumes = result.millilitres()
        assert 1500 < volumes["right_lung"] + volumes["left_lung"] < 2600  # 2.0 L by the scan's description
        right, left = (_center(result.mask(f"{side} lung"), result.affine) for side in ("right", "left"))
        assert right[0] > left[0] + 80

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "there"),
        [("ct_abdomen_dicom", {"liver", "spleen"}), ("ct_chest_4dlung.nii.gz", {"right lung", "left lung", "liver"})],
    )
    def test_no_orientation_swaps_them(self, real_scans: Path, name: str, there: set[str]) -> None:
        same_in_all_orientations(Spacing((4, 4, 4))(read(real_scans / name)), there)

    def test_three_slices_are_enough_to_run(self, real_scans: Path) -> None:
        assert run(MODEL, real_scans / "ct_3slice_dicom").layers.shape[1:] == (512, 512, 3)


class TestRadiographs:
    def test_those_of_patients_are_like_what_the_classifier_knows(self, real_scans: Path) -> None:
        if not any(Path(find_bundle(FINDINGS)).glob("models/*.pt")):
            pytest.skip(f"{FINDINGS} has no weights yet")
        paths = sorted(real_scans.glob("cxr_*.png")) + sorted(real_scans.glob("cxr_*/*.png"))
        assert len(paths) == 5
        assert [path.name for path in paths if run(FINDINGS, read(path)).is_unlike] == []


def test_the_lungs_of_a_made_torso_are_found_on_their_sides_however_its_axes_lie() -> None:
    images, truth = torso_ct.sample(1_000_001, (8, 8, 8), (360, 280, 400))
    for axes in ("RAS", "LAS", "PSR", "IPL"):
        lungs_are_where_they_were_made(run(MODEL, Orientation(axes)(images["ct"])), truth)


@pytest.mark.slow
def test_no_orientation_swaps_the_sides_of_a_made_torso() -> None:
    images, truth = torso_ct.sample(1_000_001, (4, 4, 4), (400, 320, 480))
    same_in_all_orientations(images["ct"], {"right lung", "left lung", "liver"}, truth)


def lungs_are_where_they_were_made(result: Segmentation, truth: Segmentation) -> None:
    """Check both lungs against a phantom's truth; with swapped sides their Dice is near 0."""
    labels = _labels(result)
    for name in ("right lung", "left lung"):
        assert _dice(labels[0] == result.segment(name).value, truth.mask(name)) > 0.9, name


def same_in_all_orientations(image: MetaTensor, there: set[str], truth: Segmentation | None = None) -> None:
    """Check that segments are where they were, and the lungs where `truth` has them, however the scan's axes lie."""
    result = run(MODEL, image)
    expected = _labels(result)
    names = {segment.value: segment.name for segment in result.segments if segment.layer == 0}
    large = [value for value in names if (expected == value).sum() * result.voxel_ml > 20]
    assert there <= {names[value] for value in large}
    for axes in AXIS_CODES:
        turned = run(MODEL, Orientation(axes)(image))
        found = _labels(turned)
        for value in large:
            assert _dice(found == value, expected == value) > 0.95, (axes, names[value])
        if truth:
            lungs_are_where_they_were_made(turned, truth)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def _labels(result: Segmentation) -> np.ndarray:
    """Return the labels, with axes that run to the right, front and top."""
    return np.asarray(Orientation("RAS")(MetaTensor(result.layers[:1].astype(np.uint8), affine=result.affine)))


def _center(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the middle of a mask in RAS mm (3,)."""
    return (affine @ np.append(np.argwhere(mask).mean(axis=0), 1))[:3]
