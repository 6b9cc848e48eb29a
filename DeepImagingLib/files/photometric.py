"""Decode the voxels of a DICOM file, whatever its photometric interpretation, to grey on dark air or to RGB.

GDCM (in SimpleITK) decodes and converts most of what PS3.3, C.7.6.3.1.2 lists; pydicom does where GDCM can't or errs.
pydicom's own decoders and Pillow are enough for that.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.image import array_from_itk

if TYPE_CHECKING:
    from pydicom import Dataset

PHOTOMETRIC_TAGS = ("PhotometricInterpretation", "PixelRepresentation")
INVERTED = "The file stores what is dark as bright (MONOCHROME1); its grey values were turned, so that air is dark."
UNDECODABLE = (RuntimeError, ValueError, AttributeError, KeyError, NotImplementedError, OSError, EOFError)


def decode(path: Path, header: Dataset) -> npt.NDArray[Any]:
    """Return the voxels of a file as (C, I, J, frames), grey or RGB.

    Grey values are rescaled to the unit that the file names; MONOCHROME1 is turned within the stored bits. RGB is
    0..255, or as deep as it is stored. Neither VOI windows nor modality look-up tables are applied.

    Raises:
        InputError: The voxels can't be decoded.
    """
    ways = [_by_gdcm, _by_pydicom]
    if _gdcm_errs(header):
        ways = [_by_pydicom] if header.PhotometricInterpretation == "MONOCHROME1" else [_by_pydicom, _by_gdcm]
    for way in ways:
        try:
            return way(path)
        except UNDECODABLE as error:
            failure = error
    raise InputError(f"The voxels of the DICOM file {path.name!r} can't be decoded; is it whole?") from failure


def note(header: Dataset) -> str:
    """Say what `decode` turned round, "" where it turned nothing."""
    return INVERTED if header.get("PhotometricInterpretation") == "MONOCHROME1" else ""


def _gdcm_errs(header: Dataset) -> bool:
    """Tell where GDCM goes wrong without a word (ITK 5.4; the tests hold an example of each)."""
    from pydicom.uid import JPEGBaseline8Bit

    photometric = header.get("PhotometricInterpretation")
    syntax = getattr(header, "file_meta", {}).get("TransferSyntaxUID")
    return (
        photometric == "PALETTE COLOR"  # a table that doesn't start at 0 is left out, and the indices come as grey
        or (photometric == "MONOCHROME1" and bool(header.get("PixelRepresentation")))  # signed values stay unturned
        or (photometric == "RGB" and syntax == JPEGBaseline8Bit)  # believed, though the JPEG may say it is YCbCr
    )


def _by_gdcm(path: Path) -> npt.NDArray[Any]:
    import SimpleITK as sitk

    return array_from_itk(sitk.ReadImage(str(path)))


def _by_pydicom(path: Path) -> npt.NDArray[Any]:
    from pydicom import dcmread
    from pydicom.pixels import apply_color_lut, apply_rescale, pixel_array

    whole = dcmread(path, force=True)
    values, channels = pixel_array(whole), whole.SamplesPerPixel  # (frames,) J, I(, 3); YBR comes as RGB
    if whole.PhotometricInterpretation == "PALETTE COLOR":
        channels = 3
        values = apply_color_lut(values, whole)[..., :3]
        values = values >> 8 if values.max() > 255 else values
    elif channels == 1:
        values = apply_rescale(_turned(values, whole), whole)
    return values.reshape(-1, whole.Rows, whole.Columns, channels).transpose(3, 2, 1, 0)


def _turned(stored: npt.NDArray[Any], header: Dataset) -> npt.NDArray[Any]:
    """Turn MONOCHROME1 within the range of the stored bits."""
    if header.PhotometricInterpretation != "MONOCHROME1":
        return stored
    lowest_and_highest = -1 if header.PixelRepresentation else 2**header.BitsStored - 1  # their sum
    return lowest_and_highest - stored.astype(np.int64)
