"""A DICOM series becomes a volume where it is a regular grid, and is refused by name where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import read
from Testing.files.series import SPACING, write_series

EVEN = [10.0, 12.5, 15.0, 17.5]


def change(folder: Path, index: int, **values: object) -> None:
    """Set attributes of the file whose slice lies `index` steps up."""
    files = sorted(folder.iterdir(), key=lambda path: float(dcmread(path).ImagePositionPatient[2]))
    whole = dcmread(files[index])
    for name, value in values.items():
        setattr(whole, name, value)
    whole.save_as(files[index])


class TestRegularSeries:
    def test_voxels_are_hounsfield_units_in_slice_order(self, tmp_path: Path) -> None:
        hounsfield = write_series(tmp_path / "ct", EVEN)
        np.testing.assert_array_equal(read(tmp_path / "ct").numpy()[0], hounsfield)

    @pytest.mark.parametrize(
        "orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, -1, 0), (0.8, 0.6, 0, -0.6, 0.8, 0)]
    )
    def test_each_voxel_lies_where_its_header_says(self, tmp_path: Path, orientation) -> None:
        write_series(tmp_path / "ct", EVEN, orientation=orientation)
        row, column = np.reshape(orientation, (2, 3)).astype(float)
        lps = 2 * SPACING[1] * row + 3 * SPACING[0] * column + EVEN[1] * np.cross(row, column)
        ras = np.asarray(read(tmp_path / "ct").affine) @ [2, 3, 1, 1]
        np.testing.assert_allclose(ras[:3], lps * [-1, -1, 1], atol=1e-3)

    def test_an_empty_series_uid_does_not_matter(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", EVEN, uid="")
        assert read(tmp_path / "ct").shape == (1, 8, 6, 4)

    def test_rounded_positions_do_not_matter(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", [0, 2.501, 4.998, 7.5])
        assert read(tmp_path / "ct").shape == (1, 8, 6, 4)

    def test_compressed_voxels_are_read(self, tmp_path: Path) -> None:
        hounsfield = write_series(tmp_path / "ct", EVEN, compressed=True)
        np.testing.assert_array_equal(read(tmp_path / "ct").numpy()[0], hounsfield)

    def test_files_without_preamble_are_not_left_out(self, tmp_path: Path) -> None:
        hounsfield = write_series(tmp_path / "ct", EVEN)
        path = sorted((tmp_path / "ct").iterdir())[0]
        whole = dcmread(path)
        del whole.file_meta
        whole.preamble = None
        whole.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
        np.testing.assert_array_equal(read(tmp_path / "ct").numpy()[0], hounsfield)

    def test_one_file_is_one_slice_as_thick_as_it_says(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", [3.0])
        (path,) = (tmp_path / "ct").iterdir()
        image = read(path)
        assert image.shape == (1, 8, 6, 1)
        assert float(image.affine[2, 2]) == pytest.approx(2.0)


class TestFaultySeries:
    def refused(self, folder: Path) -> str:
        with pytest.raises(InputError) as refusal:
            read(folder)
        assert "Secret" not in str(refusal.value)
        return str(refusal.value)

    def test_missing_slices_are_counted(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", [0, 2, 4, 6, 12, 14])
        assert "2 slices are missing" in self.refused(tmp_path / "ct")

    def test_unequal_gaps_are_measured(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", [0, 2, 4, 7.3, 9.3])
        assert "unequal, from 2.00 to 3.30 mm" in self.refused(tmp_path / "ct")

    def test_a_tilted_gantry_is_measured(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", EVEN, shift=np.tan(np.radians(12)))
        assert "tilted by 12.0°" in self.refused(tmp_path / "ct")

    def test_a_tilt_and_gaps_are_both_named(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", [0, 2, 4, 7.3, 9.3], shift=0.3)
        said = self.refused(tmp_path / "ct")
        assert "tilted" in said
        assert "unequal" in said

    def test_slices_at_one_position_are_named(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", [0, 2, 2, 4])
        assert "1 of 4 slices lie where another one does" in self.refused(tmp_path / "ct")

    def test_a_slice_beside_the_others_is_measured(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", EVEN)
        change(tmp_path / "ct", 1, ImagePositionPatient=[15, 0, EVEN[1]])
        assert "1 slices lie up to 15.0 mm beside" in self.refused(tmp_path / "ct")

    def test_slices_that_do_not_say_where_they_lie_are_counted(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", EVEN)
        change(tmp_path / "ct", 3, ImagePositionPatient=None)
        assert "1 of 4 files don't say where" in self.refused(tmp_path / "ct")

    def test_a_damaged_header_is_named(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", EVEN)
        change(tmp_path / "ct", 0, ImageOrientationPatient=[1, 0, 0])
        assert "header" in self.refused(tmp_path / "ct")

    def test_frames_without_a_place_each_are_named(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", [0.0])
        change(tmp_path / "ct", 0, NumberOfFrames=5)
        assert "frames without a place" in self.refused(tmp_path / "ct")

    def test_slices_of_two_orientations_are_named(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", EVEN, uid="1.2.3")
        write_series(tmp_path / "ct", [0.0], uid="1.2.3", orientation=(0, 1, 0, 0, 0, -1), seed=1)
        assert "different orientation" in self.refused(tmp_path / "ct")

    def test_several_series_are_listed_and_one_can_be_chosen(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", EVEN, uid="1.2.3")
        second = write_series(tmp_path / "ct", EVEN[:3], uid="1.2.4", seed=1)
        said = self.refused(tmp_path / "ct")
        assert "1.2.3: CT, 4 files" in said
        assert "1.2.4: CT, 3 files" in said
        np.testing.assert_array_equal(read(tmp_path / "ct", series="1.2.4").numpy()[0], second)

    def test_a_series_without_uid_can_be_chosen_as_it_is_listed(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", EVEN, uid="1.2.3")
        unnamed = write_series(tmp_path / "ct", EVEN[:3], uid="", seed=1)
        assert "(no UID): CT, 3 files" in self.refused(tmp_path / "ct")
        np.testing.assert_array_equal(read(tmp_path / "ct", series="(no UID)").numpy()[0], unnamed)

    def test_an_unknown_series_is_named(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", EVEN, uid="1.2.3")
        with pytest.raises(InputError, match=r"no series '9\.9'.*1\.2\.3"):
            read(tmp_path / "ct", series="9.9")

    def test_an_empty_folder_is_named(self, tmp_path: Path) -> None:
        assert "holds no DICOM image" in self.refused(tmp_path)

    def test_a_truncated_file_is_named(self, tmp_path: Path) -> None:
        write_series(tmp_path / "ct", EVEN)
        path = sorted((tmp_path / "ct").iterdir())[0]
        path.write_bytes(path.read_bytes()[:-40])
        assert path.name in self.refused(tmp_path / "ct")
