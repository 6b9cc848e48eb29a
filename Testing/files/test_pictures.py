"""PNG, JPEG and TIFF come out grey or RGB, upright, first pixel in the upper left corner."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from monai.transforms import LoadImage
from PIL import Image, ImageOps

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import NOTE_KEY, Voxels, read

ROWS, COLUMNS = 16, 24
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (ROWS, COLUMNS), np.uint8)
RGB = RNG.integers(0, 256, (ROWS, COLUMNS, 3), np.uint8)
RGB16 = RNG.integers(0, 2**16, (ROWS, COLUMNS, 3), np.uint16)
ALPHA = RNG.integers(0, 256, (ROWS, COLUMNS, 1), np.uint8)
OPAQUE = np.full_like(ALPHA, 255)
ORIENTATION, PHOTOMETRIC = 274, 262


def pixels(path: Path) -> np.ndarray:
    """Return (rows, columns) or (rows, columns, 3) of what is read."""
    image = read(path)
    assert image.shape[0] in (1, 3)
    return np.squeeze(image.numpy().transpose(2, 1, 0), -1) if image.shape[0] == 1 else image.numpy().transpose(2, 1, 0)


def saved(path: Path, picture: np.ndarray | Image.Image, **options: object) -> Path:
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(path, **options)
    return path


def save_png16(path: Path, array: np.ndarray, colour_type: int) -> Path:
    """Write (rows, columns, channels) as 16-bit PNG, which Pillow can't."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


class TestForms:
    @pytest.mark.parametrize("ending", [".png", ".tif", ".bmp"])
    @pytest.mark.parametrize("array", [GREY, RGB], ids=["grey", "rgb"])
    def test_grey_and_rgb_keep_their_values(self, tmp_path: Path, array, ending) -> None:
        np.testing.assert_array_equal(pixels(saved(tmp_path / f"x{ending}", array)), array)

    @pytest.mark.parametrize("array", [GREY, RGB], ids=["grey", "rgb"])
    def test_jpeg_is_read_as_monai_reads_it(self, tmp_path: Path, array) -> None:
        path = saved(tmp_path / "x.JPG", array)
        theirs = LoadImage(reader="PILReader", ensure_channel_first=True)(path)
        np.testing.assert_array_equal(read(path).numpy(), theirs.numpy())

    def test_two_colours_and_palettes_become_plain(self, tmp_path: Path) -> None:
        black_and_white = Image.fromarray(GREY > 127)
        palette = Image.fromarray(RGB).quantize(16)
        for ending in (".png", ".tif"):
            found = pixels(saved(tmp_path / f"1{ending}", black_and_white))
            np.testing.assert_array_equal(found, 255 * (GREY > 127))
            found = pixels(saved(tmp_path / f"p{ending}", palette))
            np.testing.assert_array_equal(found, np.asarray(palette.convert("RGB")))

    def test_sixteen_bits_stay(self, tmp_path: Path) -> None:
        deep = RGB16[..., 0]
        for ending in (".png", ".tif"):
            np.testing.assert_array_equal(pixels(saved(tmp_path / f"x{ending}", deep)), deep)
        np.testing.assert_array_equal(pixels(save_png16(tmp_path / "rgb.png", RGB16, 2)), RGB16)
        transparent = np.dstack([RGB16, RGB16[..., :1]])
        found = pixels(save_png16(tmp_path / "rgba.png", transparent, 6))
        np.testing.assert_allclose(found, RGB16 * (RGB16[..., :1] / 65535), atol=0.51)

    def test_inks_become_rgb(self, tmp_path: Path) -> None:
        flat = np.broadcast_to(np.uint8([200, 50, 20]), RGB.shape)
        for name in ("x.jpg", "x.tif"):
            np.testing.assert_allclose(
                pixels(saved(tmp_path / name, Image.fromarray(flat).convert("CMYK"))), flat, atol=1
            )

    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("layout", [{"planarconfig": "separate"}, {"tile": (16, 16)}], ids=["planes", "tiles"])
    def test_tiffs_in_planes_or_tiles_are_read(self, tmp_path: Path, layout, compression) -> None:
        planes = RGB.transpose(2, 0, 1) if "planarconfig" in layout else RGB
        tifffile.imwrite(tmp_path / "x.tif", planes, photometric="rgb", compression=compression, **layout)
        np.testing.assert_array_equal(pixels(tmp_path / "x.tif"), RGB)

    @pytest.mark.parametrize(("array", "white"), [(GREY, 255), (RGB16[..., 0], 65535)])
    def test_a_tiff_whose_zero_is_white_is_turned(self, tmp_path: Path, array, white) -> None:
        path = saved(tmp_path / "x.tif", array)
        written = bytearray(path.read_bytes())
        entry = written.index(struct.pack("<HHI", PHOTOMETRIC, 3, 1))
        written[entry + 8] = 0
        path.write_bytes(written)
        np.testing.assert_array_equal(pixels(path), white - array.astype(int))

    def test_pages_are_slices_unless_they_differ_in_size(self, tmp_path: Path) -> None:
        first, second = Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())
        image = read(saved(tmp_path / "x.tif", first, save_all=True, append_images=[second]))
        np.testing.assert_array_equal(image.numpy(), np.stack([RGB, RGB[::-1]]).transpose(3, 2, 1, 0))
        path = saved(tmp_path / "y.tif", first, save_all=True, append_images=[second.reduce(2)])
        np.testing.assert_array_equal(pixels(path), RGB)
        assert "2 pages of the file differ in size" in read(path).meta[NOTE_KEY]

    def test_resolution_is_the_spacing(self, tmp_path: Path) -> None:
        affine = np.asarray(read(saved(tmp_path / "x.tif", RGB, dpi=(254, 127))).affine)
        np.testing.assert_allclose(affine, np.diag([-0.1, -0.2, 1, 1]))

    def test_the_first_picture_of_a_phone_is_the_one(self, tmp_path: Path) -> None:
        first, second = Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())
        path = saved(tmp_path / "x.jpg", first, format="MPO", save_all=True, append_images=[second])
        np.testing.assert_array_equal(pixels(path), np.asarray(Image.open(path)))

    def test_size_has_no_limit(self, tmp_path: Path, monkeypatch) -> None:
        path = saved(tmp_path / "x.png", RGB)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        np.testing.assert_array_equal(pixels(path), RGB)


class TestTransparency:
    @pytest.mark.parametrize("ending", [".png", ".tif"])
    @pytest.mark.parametrize("array", [GREY[..., None], RGB], ids=["grey", "rgb"])
    def test_is_dropped_where_nothing_is_transparent(self, tmp_path: Path, array, ending) -> None:
        path = saved(tmp_path / f"x{ending}", np.dstack([array, OPAQUE]))
        np.testing.assert_array_equal(pixels(path), array.squeeze())
        assert read(path).meta[NOTE_KEY] == ""

    @pytest.mark.parametrize("array", [GREY[..., None], RGB], ids=["grey", "rgb"])
    def test_lets_black_shine_through_and_says_so(self, tmp_path: Path, array) -> None:
        path = saved(tmp_path / "x.png", np.dstack([array, ALPHA]))
        np.testing.assert_allclose(pixels(path), (array * (ALPHA / 255)).squeeze(), atol=0.51)
        assert "transparent" in read(path).meta[NOTE_KEY]

    def test_of_a_palette_counts(self, tmp_path: Path) -> None:
        palette = Image.fromarray(RGB).quantize(16)
        expected = np.where((np.asarray(palette) == 3)[..., None], 0, np.asarray(palette.convert("RGB")))
        np.testing.assert_array_equal(pixels(saved(tmp_path / "x.png", palette, transparency=3)), expected)

    def test_of_a_node_is_dropped_where_nothing_is_transparent(self) -> None:
        rgba = np.dstack([RGB, OPAQUE])[None]
        np.testing.assert_array_equal(Voxels(rgba, np.eye(4)).image().numpy()[..., 0], RGB.transpose(2, 1, 0))
        assert Voxels(np.dstack([RGB, ALPHA])[None], np.eye(4)).image().shape[0] == 4


class TestOrientation:
    @pytest.mark.parametrize("ending", [".png", ".tif"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_photograph_is_turned_upright_and_says_so(self, tmp_path: Path, orientation, ending) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        path = saved(tmp_path / f"x{ending}", RGB, exif=exif)
        np.testing.assert_array_equal(pixels(path), np.asarray(ImageOps.exif_transpose(Image.open(path))))
        assert ("turned upright" in read(path).meta[NOTE_KEY]) == (orientation > 1)

    @pytest.mark.parametrize("orientation", range(2, 9))
    def test_its_pixels_keep_their_place_in_the_world(self, tmp_path: Path, orientation) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        turned = read(saved(tmp_path / "x.png", RGB, exif=exif, dpi=(254, 127)))
        plain = read(saved(tmp_path / "y.png", RGB, dpi=(254, 127)))
        for column, row in ((0, 0), (23, 0), (5, 11)):
            world = np.asarray(plain.affine) @ [column, row, 0, 1]
            i, j = np.rint(np.linalg.inv(np.asarray(turned.affine)) @ world)[:2].astype(int)
            np.testing.assert_array_equal(turned.numpy()[:, i, j], RGB[row, column])


class TestRefusals:
    @pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
    def test_a_truncated_picture_is_named(self, tmp_path: Path, ending) -> None:
        path = saved(tmp_path / f"x{ending}", RGB)
        path.write_bytes(path.read_bytes()[:-400])
        with pytest.raises(InputError, match=f"x{ending}.*is it whole"):
            read(path)


class TestRealPictures:
    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("cxr_nih_cardiomegaly.png", (1, 512, 512)),
            ("cxr_hannover_covid/fff13f3a.png", (1, 640, 691)),
            ("us_femur.png", (1, 476, 512)),
            ("pathology_ihc.png", (3, 512, 512)),
            ("retina_fundus.jpg", (3, 1411, 1411)),
        ],
    )
    def test_are_read_as_monai_reads_them(self, real_scans: Path, name, shape) -> None:
        image = read(real_scans / name)
        theirs = LoadImage(reader="PILReader", ensure_channel_first=True)(real_scans / name)
        assert image.shape == shape
        np.testing.assert_array_equal(image.numpy(), theirs.numpy())

    def test_the_optic_disc_is_bright_and_the_fundus_red(self, real_scans: Path) -> None:
        red, green, blue = read(real_scans / "retina_fundus.jpg").numpy()
        assert red[700, 300] > 1.5 * green[700, 300] > blue[700, 300]
        disc = np.argwhere(green > 0.95 * green.max()).mean(axis=0)
        assert disc[0] < 400 and 500 < disc[1] < 800  # to the left, and half way down
