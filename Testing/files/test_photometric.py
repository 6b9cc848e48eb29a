"""DICOM pictures come out grey on dark air or as RGB, however they are stored."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import convert_color_space
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import NOTE_KEY, read
from Testing.files.pictures import COLUMNS, ROWS, picture, save, save_encoded

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (ROWS, COLUMNS), np.uint8)
RGB = RNG.integers(0, 256, (ROWS, COLUMNS, 3), np.uint8)
YBR = convert_color_space(RGB, "RGB", "YBR_FULL")
SMOOTH = np.stack([np.add.outer(np.arange(64), k * np.arange(80)) // k for k in (1, 2, 3)], axis=-1).astype(np.uint8)


def same(path: Path, expected: np.ndarray, within: float = 0) -> None:
    """Check a file against (rows, columns) or (rows, columns, 3)."""
    expected = expected.reshape(*expected.shape[:2], -1).transpose(2, 1, 0).astype(float)
    np.testing.assert_allclose(read(path).numpy(), expected, atol=within)


class TestGrey:
    @pytest.mark.parametrize(
        ("bits", "stored", "signed"), [(8, 8, False), (16, 10, False), (16, 12, False), (16, 16, False), (16, 12, True)]
    )
    @pytest.mark.parametrize("syntax", ["", RLELossless])
    def test_monochrome1_is_turned_within_the_stored_bits(self, tmp_path: Path, bits, stored, signed, syntax) -> None:
        low = -(2 ** (stored - 1)) if signed else 0
        values = RNG.integers(low, low + 2**stored, (ROWS, COLUMNS))
        for name in ("MONOCHROME1", "MONOCHROME2"):
            made = picture(name, bits=bits, stored=stored, signed=signed)
            pixels = values.astype(f"{'i' if signed else 'u'}{bits // 8}")
            path = save(tmp_path / "x.dcm", made, pixels, *filter(None, [syntax]))
            same(path, values if name == "MONOCHROME2" else 2 * low + 2**stored - 1 - values)
            assert ("MONOCHROME1" in read(path).meta[NOTE_KEY]) == (name == "MONOCHROME1")

    @pytest.mark.parametrize("signed", [False, True])
    def test_turning_and_rescaling_go_together(self, tmp_path: Path, signed) -> None:
        made = picture("MONOCHROME1", bits=16, stored=12, signed=signed, RescaleSlope=2, RescaleIntercept=-10)
        values = RNG.integers(0, 2048, (ROWS, COLUMNS)).astype(np.uint16)
        turned = (-1 if signed else 4095) - values.astype(float)
        same(save(tmp_path / "x.dcm", made, values), 2 * turned - 10)

    def test_garbage_above_the_stored_bits_is_ignored(self, tmp_path: Path) -> None:
        made = picture("MONOCHROME2", bits=16, stored=12)
        same(save(tmp_path / "x.dcm", made, GREY.astype(np.uint16) | 0xF000), GREY)


class TestColour:
    @pytest.mark.parametrize(("photometric", "pixels"), [("RGB", RGB), ("YBR_FULL", YBR)])
    @pytest.mark.parametrize("layout", ["by pixel", "by plane", "run-length"])
    def test_becomes_rgb_in_that_order(self, tmp_path: Path, photometric, pixels, layout) -> None:
        made = picture(photometric, PlanarConfiguration=int(layout == "by plane"))
        stored = pixels.transpose(2, 0, 1) if layout == "by plane" else pixels
        same(save(tmp_path / "x.dcm", made, stored, *[RLELossless] * (layout == "run-length")), RGB, within=2)

    def test_of_half_the_columns_is_spread(self, tmp_path: Path) -> None:
        halved = YBR.copy()
        halved[:, 1::2, 1:] = YBR[:, ::2, 1:]
        pairs = np.stack([YBR[:, ::2, 0], YBR[:, 1::2, 0], YBR[:, ::2, 1], YBR[:, ::2, 2]], axis=-1)
        path = save(tmp_path / "x.dcm", picture("YBR_FULL_422"), pairs)
        same(path, convert_color_space(halved, "YBR_FULL", "RGB"), within=1)

    @pytest.mark.parametrize(
        ("photometric", "syntax", "options"),
        [
            ("YBR_FULL_422", JPEGBaseline8Bit, {"format": "JPEG", "subsampling": 2}),
            ("YBR_FULL", JPEGBaseline8Bit, {"format": "JPEG", "subsampling": 0}),
            ("RGB", JPEGBaseline8Bit, {"format": "JPEG", "subsampling": 0}),  # a lie: JFIF is YCbCr
            ("RGB", JPEGBaseline8Bit, {"format": "JPEG", "subsampling": 0, "keep_rgb": True}),
            ("YBR_RCT", JPEG2000Lossless, {"format": "JPEG2000", "mct": 1, "no_jp2": True}),
            ("YBR_ICT", JPEG2000, {"format": "JPEG2000", "mct": 1, "no_jp2": True, "irreversible": True}),
        ],
    )
    def test_of_jpeg_becomes_rgb(self, tmp_path: Path, photometric, syntax, options) -> None:
        encoded = BytesIO()
        Image.fromarray(SMOOTH).save(encoded, **options)
        decoded = np.asarray(Image.open(encoded))
        path = save_encoded(tmp_path / "x.dcm", picture(photometric), encoded.getvalue(), syntax, SMOOTH.shape[:2])
        same(path, decoded, within=2)

    @pytest.mark.parametrize("syntax", ["", RLELossless])
    @pytest.mark.parametrize(("depth", "first"), [(8, 0), (16, 0), (16, 20)])
    def test_of_a_palette_becomes_rgb(self, tmp_path: Path, depth, first, syntax) -> None:
        table = RNG.integers(0, 2**depth, (3, 200)).astype(f"u{depth // 8}")
        made = picture("PALETTE COLOR")
        for name, entries in zip(("Red", "Green", "Blue"), table):
            setattr(made, f"{name}PaletteColorLookupTableDescriptor", [200, first, depth])
            setattr(made, f"{name}PaletteColorLookupTableData", entries.tobytes())
        eight_bits = table >> (depth - 8)
        looked_up = eight_bits[:, np.clip(GREY.astype(int) - first, 0, 199)].transpose(1, 2, 0)
        same(save(tmp_path / "x.dcm", made, GREY, *filter(None, [syntax])), looked_up)


class TestSpacing:
    def spacing(self, path: Path, **values: object) -> list[float]:
        image = read(save(path / "x.dcm", picture("MONOCHROME2", **values), GREY))
        assert image.shape == (1, COLUMNS, ROWS)
        return np.linalg.norm(np.asarray(image.affine)[:2, :2], axis=0).tolist()

    def test_is_the_first_that_is_given(self, tmp_path: Path) -> None:
        given = {"NominalScannedPixelSpacing": [0.3, 0.4], "ImagerPixelSpacing": [0.2, 0.3], "PixelSpacing": [0.1, 0.2]}
        assert self.spacing(tmp_path, **given) == [0.2, 0.1]
        del given["PixelSpacing"]
        assert self.spacing(tmp_path, **given) == [0.3, 0.2]
        del given["ImagerPixelSpacing"]
        assert self.spacing(tmp_path, **given) == [0.4, 0.3]
        assert self.spacing(tmp_path) == [1, 1]

    def test_of_ultrasound_is_that_of_its_region_unless_regions_differ(self, tmp_path: Path) -> None:
        assert self.spacing(tmp_path, SequenceOfUltrasoundRegions=[region(0.005)]) == pytest.approx([0.05, 0.06])
        regions = [region(0.005), region(0.05, kind=2)]  # a spectrum beside the picture
        assert self.spacing(tmp_path, SequenceOfUltrasoundRegions=regions) == pytest.approx([0.05, 0.06])
        assert self.spacing(tmp_path, SequenceOfUltrasoundRegions=[region(0.005), region(0.004)]) == [1, 1]

    @pytest.mark.parametrize("name", ["PixelSpacing", "ImagerPixelSpacing"])
    def test_of_zero_is_refused(self, tmp_path: Path, name) -> None:
        with pytest.raises(InputError, match="pixel spacing of zero"):
            self.spacing(tmp_path, **{name: [0, 0]})

    def test_that_is_damaged_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="header of the DICOM file"):
            self.spacing(tmp_path, PixelSpacing=[0.3])


def region(millimetres_a_hundredth: float, kind: int = 1) -> Dataset:
    """Return an ultrasound region in cm a pixel; rows are a fifth taller than columns are wide."""
    made = Dataset()
    made.RegionSpatialFormat, made.PhysicalUnitsXDirection, made.PhysicalUnitsYDirection = kind, 3, 3
    made.PhysicalDeltaX, made.PhysicalDeltaY = millimetres_a_hundredth, -1.2 * millimetres_a_hundredth
    return made


class TestFrames:
    FRAMES = RNG.integers(0, 256, (5, ROWS, COLUMNS, 3), np.uint8)

    def test_of_a_film_are_slices_and_it_says_so(self, tmp_path: Path) -> None:
        made = picture("RGB", NumberOfFrames=5, FrameTime=40)
        image = read(save(tmp_path / "x.dcm", made, self.FRAMES))
        np.testing.assert_array_equal(image.numpy(), self.FRAMES.transpose(3, 2, 1, 0))
        assert "5 frames of the film" in image.meta[NOTE_KEY]

    def test_of_a_film_are_turned_as_well(self, tmp_path: Path) -> None:
        made = picture("MONOCHROME1", bits=16, stored=12, NumberOfFrames=5, CineRate=25)
        grey = self.FRAMES[..., 0].astype(np.uint16)
        image = read(save(tmp_path / "x.dcm", made, grey))
        np.testing.assert_array_equal(image.numpy()[0], 4095 - grey.transpose(2, 1, 0))
        assert all(part in image.meta[NOTE_KEY] for part in ("MONOCHROME1", "film"))

    def test_of_anything_else_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="frames without a place"):
            read(save(tmp_path / "x.dcm", picture("RGB", NumberOfFrames=5), self.FRAMES))

    def test_of_a_slide_are_laid_out(self, tmp_path: Path) -> None:
        slide = RNG.integers(0, 256, (2 * ROWS, 3 * COLUMNS, 3), np.uint8)
        tiles = slide.reshape(2, ROWS, 3, COLUMNS, 3).swapaxes(1, 2)
        path = save(tmp_path / "x.dcm", self.slide(2 * ROWS - 1, 3 * COLUMNS - 2), tiles)
        same(path, slide[:-1, :-2])
        np.testing.assert_allclose(np.abs(np.diag(read(path).affine)[:2]), [0.0005, 0.00025])

    def slide(self, rows: int, columns: int) -> Dataset:
        measures, shared = Dataset(), Dataset()
        measures.PixelSpacing = [0.00025, 0.0005]
        shared.PixelMeasuresSequence = [measures]
        made = picture("RGB", NumberOfFrames=6, DimensionOrganizationType="TILED_FULL")
        made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = rows, columns
        made.SharedFunctionalGroupsSequence = [shared]
        return made

    @pytest.mark.parametrize(("rows", "told"), [(50, "not one full plane"), (10**8, "100000000 pixels")])
    def test_of_a_slide_too_large_or_with_holes_are_refused(self, tmp_path: Path, rows, told) -> None:
        with pytest.raises(InputError, match=told):
            read(save(tmp_path / "x.dcm", self.slide(rows, 24), np.zeros((6, ROWS, COLUMNS, 3), np.uint8)))


class TestRealPictures:
    def test_air_is_dark_in_x_rays(self, real_scans: Path) -> None:
        leg = read(real_scans / "cr_tibia_fibroma.dcm").numpy()[0]
        assert leg[1150, 900] < leg[900, 900] / 5  # beside the shank, and within
        animal = read(real_scans / "dx_thorax_animal_small.dcm").numpy()[0]
        assert animal[5:205, -5].mean() < 0.1 * animal.mean()  # below the belly

    def test_power_doppler_is_yellow_and_red_on_grey(self, real_scans: Path) -> None:
        red, green, blue = read(real_scans / "us_lymph_node.dcm").numpy()
        coloured = (red > 200) & (blue < 50)
        assert coloured.sum() > 1000
        assert not ((blue > 200) & (red < 50)).any()
        assert red[300, 330] == green[300, 330] == blue[300, 330]

    def test_a_slide_in_tiles_is_one_picture(self, real_scans: Path) -> None:
        assert read(real_scans / "sm_pathology_tiny.dcm").shape == (3, 50, 50)

    def test_the_head_of_a_bone_scan_is_on_top(self, real_scans: Path) -> None:
        scan = read(real_scans / "nm_bone_scan.dcm").numpy()[0]
        wide = (scan > 10).sum(axis=0)
        assert wide[200:400].max() > 1.5 * wide[700:900].max()  # the trunk is wider than the shanks
