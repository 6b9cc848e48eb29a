"""Read PNG, JPEG, TIFF and other pictures as grey or RGB, upright, without transparency.

Pillow decodes them, as MONAI's PILReader does; SimpleITK gives the pixel size, and decodes colours deeper than 8 bits,
which Pillow would narrow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.image import affine_from_itk, array_from_itk, as_image

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from PIL import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
ORIENTATION = 0x0112
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
# EXIF orientation → whether columns and rows change places, and then which axes run backwards (I, J).
UPRIGHT = {
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


def read_picture(path: Path) -> MetaTensor | None:
    """Return a picture as (C, I, J), C = 1 grey or 3 RGB, first pixel in the upper left corner; None where it is none.

    The pages of a TIFF become slices, (C, I, J, pages). What is transparent stands on black. A photograph that asks to
    be turned (EXIF) is, and its affine with it, so that each pixel keeps its place in the world. Values are 0..255, or
    as deep as stored. The meta note says what was done.

    Raises:
        InputError: The picture is damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        opened = Image.open(path, formats=FORMATS)
    except (UnidentifiedImageError, Image.DecompressionBombError):  # left to SimpleITK, which has no limit of size
        return None
    with opened:
        try:
            return _read(path, opened)
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            raise InputError(f"The picture {path.name!r} can't be decoded; is it whole?") from error


def _read(path: Path, opened: Image.Image) -> MetaTensor:
    orientation = opened.getexif().get(ORIENTATION, 1)  # asked first: of a TIFF, Pillow forgets it on turning it
    affine, deep = _information(path)
    array, pages = _by_itk(path) if deep and opened.mode in ("RGB", "RGBA") else _by_pillow(opened)
    array, transparent = _on_black(array)
    turned = orientation in UPRIGHT
    if turned and opened.format != "TIFF":
        array, affine = _upright(array, affine, *UPRIGHT[orientation])
    upright = f"The picture was turned upright, as it asks (EXIF orientation {orientation})." if turned else ""
    return as_image(array, affine, " ".join(note for note in (upright, transparent, pages) if note))


def _information(path: Path) -> tuple[npt.NDArray[np.float64], bool]:
    """Return the affine (4, 4), and whether the picture has channels deeper than 8 bits."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:  # grey with transparency, say
        return affine_from_itk(sitk.Image(1, 1, sitk.sitkUInt8)), False
    return affine_from_itk(reader), reader.GetPixelID() == sitk.sitkVectorUInt16


def _by_itk(path: Path) -> tuple[npt.NDArray[Any], str]:
    import SimpleITK as sitk

    return array_from_itk(sitk.ReadImage(str(path))), ""


def _by_pillow(opened: Image.Image) -> tuple[npt.NDArray[Any], str]:
    """Return (C, I, J), or (C, I, J, pages) of a TIFF, and a note where not all of its pages could be stacked."""
    from PIL import ImageSequence

    pages = [_channels(page) for page in (ImageSequence.Iterator(opened) if opened.format == "TIFF" else [opened])]
    if len(pages) == 1:
        return pages[0], ""
    if any(page.shape != pages[0].shape for page in pages):
        return pages[0], f"The {len(pages)} pages of the file differ in size; the first was read."
    return np.stack(pages, axis=-1), ""


def _channels(page: Image.Image) -> npt.NDArray[Any]:
    """Return (C, I, J): grey or RGB, and alpha where there is one."""
    mode = _plain_mode(page)
    array = np.asarray(page if page.mode == mode else page.convert(mode))
    if mode.startswith("I;16") and getattr(page, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        array = 65535 - array  # Pillow does so to 8 bits only
    return array.reshape(*array.shape[:2], -1).transpose(2, 1, 0)


def _plain_mode(page: Image.Image) -> str:
    """Return the one of Pillow's modes that holds a page as numbers: grey or RGB, or grey deeper than 8 bits."""
    if page.mode[0] in "IF":
        return page.mode
    plain = "L" if page.mode in ("1", "L", "LA", "La") else "RGB"
    return {"L": "LA", "RGB": "RGBA"}[plain] if page.has_transparency_data else plain


def _on_black(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], str]:
    """Return the channels without alpha, and a note where something shone through."""
    if len(array) in (1, 3):
        return array, ""
    alpha = array[-1] / np.iinfo(array.dtype).max
    if alpha.min() == 1:
        return array[:-1], ""
    note = f"{np.mean(alpha < 1):.0%} of the picture is transparent, wholly or in part; black was put behind it."
    return np.rint(array[:-1] * alpha), note


def _upright(
    array: npt.NDArray[Any], affine: npt.NDArray[np.float64], swapped: bool, *backwards: bool
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Turn (C, I, J) and its affine, so that no pixel moves in the world."""
    array, affine = (array.swapaxes(1, 2), affine[:, [1, 0, 2, 3]]) if swapped else (array, affine.copy())
    for axis, reverse in enumerate(backwards):
        if reverse:
            array = np.flip(array, axis + 1)
            affine[:, 3] += affine[:, axis] * (array.shape[axis + 1] - 1)
            affine[:, axis] *= -1
    return array, affine
