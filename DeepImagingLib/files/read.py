"""Read one image, whatever its file format, into the library's image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import dicom
from DeepImagingLib.files.image import affine_from_itk, array_from_itk, as_image
from DeepImagingLib.files.picture import read_picture

if TYPE_CHECKING:
    from monai.data import MetaTensor

NIFTI = (".nii", ".nii.gz")


def read(path: str | Path, *, series: str | None = None) -> MetaTensor:
    """Read NIfTI, NRRD, MHA, a 2-D picture, a DICOM file or a folder with one DICOM series.

    Args:
        path: The file or folder.
        series: The Series Instance UID to take from a folder that holds several.

    Returns:
        (C, I, J, K), or (C, I, J) for a picture, float32, with the affine IJK→RAS in mm. A fourth axis of a
        file (time, or the modalities of one study) becomes the channels. A picture is grey or RGB, and its first
        pixel is the upper left one; pages of a TIFF and frames of a film are slices.

    Raises:
        InputError: There is no such file, it is no image, it is damaged, or its geometry is not that of a
            regular grid; the message names what was found.
    """
    path = Path(path)
    try:
        return _read(path, series)
    except OSError as error:
        raise InputError(f"{path.name[:80]!r} can't be read ({error.strerror or 'damaged'}); is it whole?") from error


def picture_size(path: Path) -> tuple[int, ...] | None:
    """Return (I, J) of a file with one picture, by its header alone; None where that doesn't tell."""
    try:
        size = dicom.size_of(path) if dicom.is_dicom(path) else _itk_size(path)
    except (InputError, OSError, RuntimeError, TypeError, ValueError):  # `read` knows it, or tells what is wrong
        return None
    return size[:2] if all(n == 1 for n in size[2:]) else None


def _itk_size(path: Path) -> tuple[int, ...]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    size: tuple[int, ...] = reader.GetSize()
    return size


def _read(path: Path, series: str | None) -> MetaTensor:
    if not path.exists():
        raise InputError(f"There is no file or folder {str(path)!r}; check the spelling.")
    if path.is_dir():
        return dicom.read_folder(path, series)
    if series is not None:
        raise InputError("A series can only be chosen from a folder; name the folder instead of a file.")
    if dicom.is_dicom(path):
        return dicom.read_files([path])
    if path.name.lower().endswith(NIFTI):
        return _read_nifti(path)
    picture = read_picture(path)
    return picture if picture is not None else _read_itk(path)


def _read_nifti(path: Path) -> MetaTensor:
    """Read NIfTI with nibabel, as MONAI's LoadImage does, so that both see the same affine."""
    import zlib

    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        file = nibabel.load(path)
        as_stored = file.get_data_dtype().kind in "iuf" and (file.dataobj.slope, file.dataobj.inter) == (1, 0)
        data = np.asanyarray(file.dataobj, dtype=None if as_stored else np.float32)
    except TypeError as error:
        raise InputError(f"{path.name!r} holds colours instead of numbers; give one grey image a channel.") from error
    except (ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path.name!r} is not a readable NIfTI file; is it whole?") from error
    header = _checked_nifti_header(path, type(file.header))
    placed = header["sform_code"] > 0 or header["qform_code"] > 0
    note = "" if placed else "The file doesn't say how the patient lies in it, so left and right are a guess."
    affine = np.asarray(file.affine, dtype=np.float64)
    if data.ndim < 3:
        return as_image(data.reshape(data.shape + (1,) * (2 - data.ndim))[None], affine, note)
    data = data.reshape(*data.shape[:3], -1)
    return as_image(np.moveaxis(data, -1, 0), affine, note)


def _checked_nifti_header(path: Path, header_class: Any) -> Any:
    """Return the header as it is in the file.

    Raises:
        InputError: The spacing is zero, which nibabel turns into 1 mm on loading without a word.
    """
    from nibabel.openers import ImageOpener

    with ImageOpener(path) as opened:
        header = header_class.from_fileobj(opened, check=False)
    spacing = np.asarray(header["pixdim"][1:4], dtype=float)
    if header["sform_code"] == 0 and np.any(spacing == 0):
        listed = " × ".join(f"{s:g}" for s in spacing)
        raise InputError(f"{path.name!r} has a voxel spacing of {listed} mm; write the true spacing into it first.")
    return header


def _read_itk(path: Path) -> MetaTensor:
    """Read any other format SimpleITK knows (NRRD, MHA ...)."""
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = "its voxel spacing is zero" if "ero-valued spacing" in str(error) else "no reader knows it"
        raise InputError(
            f"{path.name!r} is not an image file that can be read ({reason}); give NIfTI, NRRD, MHA or DICOM."
        ) from error
    return as_image(array_from_itk(image), affine_from_itk(image))
