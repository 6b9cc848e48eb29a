"""Read one DICOM series as a volume, and refuse, by name, what is not a regular grid.

Geometry after DICOM PS3.3, C.7.6.2 (Image Plane Module), from the headers that pydicom reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import dicom_picture, photometric
from DeepImagingLib.files.image import LPS_TO_RAS, as_image

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from pydicom import Dataset

# Positions are written with few digits: gaps may differ by this share of the usual one, or by this many mm.
GAP_TOLERANCE = 0.02
GAP_TOLERANCE_MM = 0.02
# Slices may lie this far beside the line from the first to the last, for the same reason.
SIDE_TOLERANCE_MM = 0.1
# A slice stack may lean by this much before it counts as a tilted gantry; rounding leans it by far less.
TILT_TOLERANCE_DEGREES = 0.2
REMEDY = "load it in Slicer, harden its transform or resample it to an even grid, save that volume and use it"
NO_UID = "(no UID)"
HEADER_TAGS = [
    "SOPClassUID",
    "SeriesInstanceUID",
    "Modality",
    "InstanceNumber",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    *dicom_picture.PICTURE_TAGS,
]
# What a file without preamble starts with: (0008,0000), (0008,0001), (0008,0005), (0008,0008) or (0008,0016).
FIRST_TAGS = tuple(bytes([8, 0, element, 0]) for element in (0, 1, 5, 8, 0x16))
SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"


@dataclass(frozen=True)
class Slice:
    """One plane: where its voxels are (file, frame) and where it lies, LPS mm.

    Attributes:
        position: (3,) centre of the first voxel.
        row, column: (3,) unit vectors along which the column (I) and the row (J) index grow.
        spacing: mm between voxels along I and J.
        thickness: mm.
    """

    path: Path
    frame: int
    position: npt.NDArray[np.float64]
    row: npt.NDArray[np.float64]
    column: npt.NDArray[np.float64]
    spacing: tuple[float, float]
    thickness: float

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector (3,) across the plane."""
        return np.cross(self.row, self.column)


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM: by its preamble, or by the group it starts with where it has none."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or (start[:4] in FIRST_TAGS and len(start) == 132)


def read_folder(folder: Path, series: str | None) -> MetaTensor:
    """Read the one series of a folder (and its subfolders), or the one that `series` names.

    Raises:
        InputError: There is no DICOM image, there are several series, or the series is no regular grid.
    """
    found = _series_in(folder)
    if not found:
        raise InputError(f"The folder {folder.name!r} holds no DICOM image; give the folder of one series, or a file.")
    if series is None and len(found) > 1:
        raise InputError(
            f"The folder {folder.name!r} holds {len(found)} series; choose one (--series UID):\n"
            + "\n".join(f"  {_describe(uid, headers)}" for uid, headers in found.items())
        )
    if series is not None and series not in found:
        raise InputError(f"The folder {folder.name!r} holds no series {series!r}; it holds {', '.join(found)}.")
    return _read_series(found[series] if series is not None else next(iter(found.values())))


def read_files(paths: Sequence[Path]) -> MetaTensor:
    """Read the files of one series; a picture without a place in the patient becomes (C, I, J)."""
    return _read_series([(path, _header(path)) for path in paths])


def size_of(path: Path) -> tuple[int, int, int]:
    """Return columns, rows and frames of a file, by its header alone; raises InputError where that can't be read."""
    header = _header(path)
    columns, rows = (int(header.get(name) or 0) for name in ("Columns", "Rows"))
    return columns, rows, int(header.get("NumberOfFrames") or 1)


def _header(path: Path) -> Dataset:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=list(HEADER_TAGS), force=True)
    except (InvalidDicomError, OSError, EOFError, ValueError, AttributeError, KeyError) as error:
        raise InputError(f"The DICOM file {path.name!r} can't be read; is it whole?") from error


def _series_in(folder: Path) -> dict[str, list[tuple[Path, Dataset]]]:
    """Return the headers of the images below a folder by Series Instance UID, NO_UID where that is empty."""
    found: dict[str, list[tuple[Path, Dataset]]] = {}
    for path in sorted(folder.rglob("*")):
        if not is_dicom(path):
            continue
        header = _header(path)
        if "Rows" in header and header.get("SOPClassUID") != SEGMENTATION_STORAGE:
            found.setdefault(str(header.get("SeriesInstanceUID") or NO_UID), []).append((path, header))
    return found


def _describe(uid: str, headers: Sequence[tuple[Path, Dataset]]) -> str:
    first = headers[0][1]
    return f"{uid}: {first.get('Modality') or '?'}, {len(headers)} files of {first.Columns}×{first.Rows}"


def _read_series(headers: Sequence[tuple[Path, Dataset]]) -> MetaTensor:
    if any(header.get("SOPClassUID") == SEGMENTATION_STORAGE for _, header in headers):
        raise InputError(f"{headers[0][0].name!r} is a DICOM segmentation; give the images it was drawn on.")
    placed = [_planes(path, header) for path, header in headers]
    slices = [plane for planes in placed for plane in planes]
    if not slices and len(headers) > 1:
        raise InputError(f"The series has {len(headers)} images without a position in space; name one file of it.")
    if not slices:
        return dicom_picture.read_picture(*headers[0])
    if not all(placed):
        lost = sum(1 for planes in placed if not planes)
        raise InputError(
            f"In the series {lost} of {len(headers)} files don't say where their slice lies; export it again."
        )
    slices = _sorted(slices)
    _check_one_stack(slices, {(h.Rows, h.Columns) for _, h in headers})
    _check_regular(slices)
    voxels = _voxels(slices, dict(headers))
    return as_image(voxels, _affine(slices), photometric.note(headers[0][1]))


def _planes(path: Path, header: Dataset) -> list[Slice]:
    """Return the planes of a file: one, or one a frame of an enhanced multi-frame image; none without a place.

    Raises:
        InputError: The header is damaged, or a multi-frame image doesn't say where each frame lies.
    """
    try:
        planes = _frames(path, header)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise InputError(f"The header of the DICOM file {path.name!r} is damaged; export it again.") from error
    return [plane for plane in planes if plane is not None]


def _frames(path: Path, header: Dataset) -> list[Slice | None]:
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if frames:
        shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
        _check_one_scale(path, frames)
        return [_plane(path, index, _frame_values(shared, frame)) for index, frame in enumerate(frames)]
    if int(header.get("NumberOfFrames") or 1) > 1:
        return []
    return [_plane(path, 0, header)]


def _check_one_scale(path: Path, frames: Sequence[Dataset]) -> None:
    """Raise InputError where frames are stored with different slopes: the decoder applies one to all of them."""
    scales = set()
    for frame in frames:
        group = frame.get("PixelValueTransformationSequence")
        scales.add((float(group[0].RescaleSlope), float(group[0].RescaleIntercept)) if group else None)
    if len(scales) > 1:
        raise InputError(f"The frames of {path.name!r} are scaled differently; convert it to NIfTI or NRRD first.")


def _frame_values(shared: Dataset | None, frame: Dataset) -> dict[str, Any]:
    """Gather the plane of one frame from its functional groups (PS3.3, C.7.6.16)."""
    groups = {
        "PlanePositionSequence": ("ImagePositionPatient",),
        "PlaneOrientationSequence": ("ImageOrientationPatient",),
        "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    }
    values: dict[str, Any] = {}
    for sequence, names in groups.items():
        group = frame.get(sequence) or (shared.get(sequence) if shared is not None else None)
        values.update({name: group[0].get(name) for name in names} if group else {})
    return values


def _plane(path: Path, frame: int, values: Any) -> Slice | None:
    position, orientation = values.get("ImagePositionPatient"), values.get("ImageOrientationPatient")
    spacing = values.get("PixelSpacing")
    if not position or not orientation or not spacing:
        return None
    if min(float(s) for s in spacing) <= 0:
        raise InputError(f"The DICOM file {path.name!r} has a pixel spacing of zero; its size can't be known.")
    axes = np.asarray(orientation, dtype=np.float64).reshape(2, 3)
    return Slice(
        path=path,
        frame=frame,
        position=np.asarray(position, dtype=np.float64),
        row=axes[0] / np.linalg.norm(axes[0]),
        column=axes[1] / np.linalg.norm(axes[1]),
        spacing=(float(spacing[1]), float(spacing[0])),
        thickness=abs(float(values.get("SpacingBetweenSlices") or values.get("SliceThickness") or 1.0)),
    )


def _sorted(slices: Sequence[Slice]) -> list[Slice]:
    normal = slices[0].normal
    return sorted(slices, key=lambda plane: float(plane.position @ normal))


def _check_one_stack(slices: Sequence[Slice], sizes: set[tuple[int, int]]) -> None:
    first = slices[0]
    if len(sizes) > 1:
        listed = ", ".join(f"{columns}×{rows}" for rows, columns in sorted(sizes))
        raise InputError(f"The series mixes slices of different size ({listed}); keep the files of one stack.")
    for plane in slices[1:]:
        if not np.allclose([plane.row, plane.column], [first.row, first.column], atol=1e-3):
            raise InputError("The series mixes slices of different orientation (a localizer?); keep one stack.")
        if not np.allclose(plane.spacing, first.spacing, rtol=1e-3):
            raise InputError("The series mixes slices of different pixel spacing; keep the files of one stack.")


def _check_regular(slices: Sequence[Slice]) -> None:
    """Raise InputError where the stack leans or its gaps differ, naming everything that is wrong with it."""
    if len(slices) < 2:
        return
    faults = [fault for fault in (_tilt(slices), _shifted(slices), _uneven(slices)) if fault]
    if faults:
        raise InputError(f"The series is not a regular grid: {', '.join(faults)}; {REMEDY}.")


def _tilt(slices: Sequence[Slice]) -> str:
    """Describe a stack whose slices shift sideways from one to the next, "" where it stands straight."""
    step = slices[-1].position - slices[0].position
    along = float(step @ slices[0].normal)
    lean = float(np.degrees(np.arctan2(np.linalg.norm(step - along * slices[0].normal), along)))
    return f"the gantry is tilted by {lean:.1f}°" if lean > TILT_TOLERANCE_DEGREES else ""


def _shifted(slices: Sequence[Slice]) -> str:
    """Describe slices that lie beside the line from the first to the last, "" where none does."""
    positions = np.array([plane.position for plane in slices])
    line = positions[-1] - positions[0]
    line = line / max(float(np.linalg.norm(line)), 1e-6)
    offsets = positions - positions[0]
    aside = np.linalg.norm(offsets - np.outer(offsets @ line, line), axis=1)
    if aside.max() <= SIDE_TOLERANCE_MM:
        return ""
    return f"{int(np.sum(aside > SIDE_TOLERANCE_MM))} slices lie up to {aside.max():.1f} mm beside the others"


def _uneven(slices: Sequence[Slice]) -> str:
    """Describe gaps that differ, as missing slices where all are multiples of the usual gap; "" where they don't."""
    gaps = np.diff([float(plane.position @ slices[0].normal) for plane in slices])
    usual = float(np.median(gaps))
    tolerance = max(GAP_TOLERANCE * usual, GAP_TOLERANCE_MM)
    if gaps.min() < GAP_TOLERANCE_MM:
        shared = int(np.sum(gaps < GAP_TOLERANCE_MM))
        return f"{shared} of {len(slices)} slices lie where another one does (several time points or echoes?)"
    wide = np.flatnonzero(np.abs(gaps - usual) > tolerance)
    if not len(wide):
        return ""
    steps = np.round(gaps / usual)
    if np.all(np.abs(gaps - steps * usual) <= tolerance * np.maximum(steps, 1)) and steps.min() >= 1:
        return (
            f"{int(np.sum(steps - 1))} slices are missing (a gap of {gaps[wide[0]]:.2f} mm after slice "
            f"{wide[0] + 1} of {len(slices)}, where {usual:.2f} mm is usual)"
        )
    return f"its slice gaps are unequal, from {gaps.min():.2f} to {gaps.max():.2f} mm"


def _affine(slices: Sequence[Slice]) -> npt.NDArray[np.float64]:
    """Return IJK→RAS (4, 4) in mm of a sorted, regular stack."""
    first, count = slices[0], len(slices)
    step = (slices[-1].position - first.position) / (count - 1) if count > 1 else first.normal * first.thickness
    affine = np.eye(4)
    affine[:3, 0] = first.row * first.spacing[0]
    affine[:3, 1] = first.column * first.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return LPS_TO_RAS @ affine


def _voxels(slices: Sequence[Slice], headers: Mapping[Path, Dataset]) -> npt.NDArray[np.float32]:
    """Return (C, I, J, K) in the stored unit (HU for CT), each file decoded once."""
    decoded: dict[Path, npt.NDArray[Any]] = {}
    planes = []
    for plane in slices:
        if plane.path not in decoded:
            decoded = {plane.path: photometric.decode(plane.path, headers[plane.path])}
        planes.append(decoded[plane.path][..., plane.frame].astype(np.float32))
    return np.stack(planes, axis=-1)
