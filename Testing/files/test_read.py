"""Files become images in RAS, and what is no image is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import read, read_roi
from Testing.grids import AXIS_CODES, affine

GRID = affine("PIR", (0.7, 1.5, 3.0), (4, 5, 6), rotation=(10, 20, 30))


def write_itk(path: Path, array: np.ndarray, ijk_to_ras: np.ndarray) -> Path:
    """Write (I, J, K) by SimpleITK."""
    lps = np.diag([-1, -1, 1, 1]) @ ijk_to_ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose()))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
    return path


class TestGeometry:
    @pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
    @pytest.mark.parametrize("code", AXIS_CODES[::5])
    def test_every_format_gives_the_same_image(self, tmp_path: Path, blob, ending, code) -> None:
        grid = affine(code, (0.7, 1.5, 3.0), (4, 5, 6), rotation=(10, 20, 30))
        image = read(write_itk(tmp_path / f"scan{ending}", blob, grid))
        np.testing.assert_array_equal(image.numpy()[0], blob)
        np.testing.assert_allclose(np.asarray(image.affine), grid, atol=1e-4)

    def test_a_fourth_axis_becomes_the_channels(self, tmp_path: Path) -> None:
        array = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
        nibabel.save(nibabel.Nifti1Image(array, GRID), tmp_path / "study.nii.gz")
        image = read(tmp_path / "study.nii.gz")
        assert image.shape == (5, 2, 3, 4)
        np.testing.assert_array_equal(image.numpy()[3], array[..., 3])

    def test_a_picture_has_two_axes(self, tmp_path: Path) -> None:
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 6), np.uint8)), str(tmp_path / "p.png"))
        assert read(tmp_path / "p.png").shape == (1, 6, 4)

    def test_a_long_path_with_spaces_and_umlauts_works(self, tmp_path: Path, blob) -> None:
        folder = tmp_path / "Ünïcödé ordner mit leerzeichen" / ("x" * 120) / "日本"
        folder.mkdir(parents=True)
        for ending in (".nii.gz", ".nrrd"):
            path = write_itk(folder / f"scan é{ending}", blob, GRID)
            assert len(str(path)) > 200
            np.testing.assert_array_equal(read(path).numpy()[0], blob)


class TestRefusals:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no file or folder"):
            read(tmp_path / "absent.nii.gz")

    @pytest.mark.parametrize("name", ["notes.txt", "notes.nii.gz", "notes.nrrd", "notes.dcm"])
    def test_a_file_that_is_no_image(self, tmp_path: Path, name) -> None:
        (tmp_path / name).write_text("not an image at all, only words " * 20)
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)

    @pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
    def test_a_truncated_nifti(self, tmp_path: Path, blob, share) -> None:
        path = tmp_path / "scan.nii.gz"
        nibabel.save(nibabel.Nifti1Image(blob, GRID), path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=r"scan\.nii\.gz.*is it whole"):
            read(path)

    def test_a_zero_spacing(self, tmp_path: Path, blob) -> None:
        image = nibabel.Nifti1Image(blob, None)
        image.header["pixdim"][1:4] = (1, 0, 2)
        image.header["qform_code"] = image.header["sform_code"] = 0
        nibabel.save(image, tmp_path / "scan.nii")
        with pytest.raises(InputError, match="spacing of 1 × 0 × 2 mm"):
            read(tmp_path / "scan.nii")

    def test_a_series_of_a_file(self, tmp_path: Path, blob) -> None:
        with pytest.raises(InputError, match="name the folder"):
            read(write_itk(tmp_path / "scan.nrrd", blob, GRID), series="1.2")


class TestRegionFiles:
    def test_a_mask_gives_the_box_around_it(self, tmp_path: Path, blob) -> None:
        image = read(write_itk(tmp_path / "scan.nrrd", blob, GRID))
        mask = np.zeros(blob.shape, np.uint8)
        mask[3:9, 4:20, 2:3] = 1
        assert read_roi(write_itk(tmp_path / "mask.nrrd", mask, GRID), image) == ((3, 9), (4, 20), (2, 3))

    def test_a_slicer_roi_gives_the_voxels_inside_it(self, tmp_path: Path, blob) -> None:
        grid = affine("LPS", (1, 2, 3))
        image = read(write_itk(tmp_path / "scan.nrrd", blob, grid))
        # In LPS the grid is a plain one: voxel i from i - 0.5 to i + 0.5 mm, j twice and k three times as wide.
        box = {"type": "ROI", "coordinateSystem": "LPS", "center": [6, 10, 12], "size": [4, 4, 12]}
        box["orientation"] = [1, 0, 0, 0, 1, 0, 0, 0, 1]
        (tmp_path / "box.mrk.json").write_text(json.dumps({"markups": [box]}))
        assert read_roi(tmp_path / "box.mrk.json", image) == ((4, 9), (4, 7), (2, 7))

    def test_a_region_elsewhere_is_refused(self, tmp_path: Path, blob) -> None:
        image = read(write_itk(tmp_path / "scan.nrrd", blob, GRID))
        mask = write_itk(tmp_path / "mask.nrrd", np.ones((2, 2, 2), np.uint8), affine(origin=(900, 0, 0)))
        with pytest.raises(InputError, match="outside the image"):
            read_roi(mask, image)

    def test_a_file_that_is_no_region_is_refused(self, tmp_path: Path, blob) -> None:
        (tmp_path / "points.mrk.json").write_text('{"markups": [{"type": "Fiducial"}]}')
        image = read(write_itk(tmp_path / "scan.nrrd", blob, GRID))
        with pytest.raises(InputError, match="not a Slicer markups ROI"):
            read_roi(tmp_path / "points.mrk.json", image)
