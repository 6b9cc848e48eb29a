"""Write a segmentation as `.seg.nrrd`, `.nii.gz` or a `.json` report.

`.seg.nrrd` follows Slicer's segmentation storage node (Slicer developer guide, "Segmentations"): one labelmap a layer,
and for each segment its id, name, colour, extent, layer, label value and terminology as key/value pairs.

Probability volumes go beside the labels, as the same kind of file: `NAME_probability_LABEL.nrrd` or `.nii.gz`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.files.image import LPS_TO_RAS
from DeepImagingLib.results import Code, Segment, Segmentation, Terminology

SCANNER = 1  # NIfTI's code for coordinates of the scanner
COMPRESSION = 4  # label maps shrink to about the same size at higher levels, in a multiple of the time
NOISY_COMPRESSION = 1  # probabilities hardly shrink at any level
NRRD_TYPES = {"float32": "float"}  # those that numpy names otherwise


def write_seg_nrrd(result: Segmentation, path: Path) -> list[Path]:
    """Write all segments, overlapping ones too, with names, colours and codes; returns the files written."""
    layered = len(result.layers) > 1
    fields = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_SourceRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for index, segment in enumerate(result.segments):
        fields.update(_segment_fields(index, segment, result.layers))
    _save_nrrd(result.layers if layered else result.layers[0], result.affine, path, fields)
    volumes = _probabilities(result, path, ".seg.nrrd")
    return [path, *(_save_nrrd(values, result.affine, file, {}) for file, values in volumes)]


def _probabilities(result: Segmentation, path: Path, ending: str) -> Iterator[tuple[Path, npt.NDArray[np.float32]]]:
    """Yield the probability volumes, each with the file it goes to beside the labels in `path`."""
    stem, kind = path.name[: -len(ending)], ending.removeprefix(".seg")
    ids = {segment.name: segment.id for segment in result.segments}
    for name, values in result.probability.items():
        # The background is the one label that is no segment.
        yield path.with_name(f"{stem}_probability_{ids.get(name, 'background')}{kind}"), values


def _save_nrrd(data: npt.NDArray[Any], affine: npt.NDArray[np.float64], path: Path, fields: Mapping[str, str]) -> Path:
    """Write (I, J, K), or (L, I, J, K), with key/value pairs.

    The header is written here, because the libraries that write NRRD take ASCII names only, and Slicer's writer needs
    a scene.
    """
    data = data.astype(data.dtype.newbyteorder("<"), copy=False)
    level = NOISY_COMPRESSION if data.dtype.kind == "f" else COMPRESSION
    with path.open("wb") as file:
        file.write(_nrrd_header(data, LPS_TO_RAS @ affine, fields).encode("utf-8"))
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=level, mtime=0) as compressed:
            for plane in np.moveaxis(data, -1, 0):  # one at a time: no copy of the whole
                compressed.write(np.ravel(plane, order="F").data)
    return path


def _nrrd_header(data: npt.NDArray[Any], lps: npt.NDArray[np.float64], fields: Mapping[str, str]) -> str:
    """Return a NRRD header (format: https://teem.sourceforge.net/nrrd/format.html) of (I, J, K) or (L, I, J, K).

    Args:
        data: Unsigned integers or floats, written with the first axis fastest.
        lps: (4, 4) IJK→LPS in mm.
        fields: Key/value pairs.
    """
    layered = data.ndim == 4
    directions = [_vector(column) for column in lps[:3, :3].T]
    lines = [
        "NRRD0004",
        f"type: {NRRD_TYPES.get(data.dtype.name, data.dtype.name)}",
        f"dimension: {data.ndim}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(n) for n in data.shape)}",
        f"space directions: {' '.join((['none'] if layered else []) + directions)}",
        f"kinds: {' '.join((['list'] if layered else []) + ['domain'] * 3)}",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(lps[:3, 3])}",
    ]
    pairs = [f"{key}:={_escaped(value)}" for key, value in fields.items()]
    return "\n".join(lines + pairs) + "\n\n"


def _vector(values: npt.NDArray[np.float64]) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"


def _escaped(value: str) -> str:
    """Return a value as NRRD keeps it on one line."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _segment_fields(index: int, segment: Segment, layers: npt.NDArray[Any]) -> dict[str, str]:
    shape = layers.shape[1:]
    key = f"Segment{index}_"
    fields = {
        "ID": segment.id,
        "Name": segment.name,
        "NameAutoGenerated": "0",
        "Color": " ".join(f"{c:.6f}" for c in segment.color),
        "ColorAutoGenerated": "0",
        "Extent": " ".join(f"0 {n - 1}" for n in shape),
        "Layer": str(segment.layer),
        "LabelValue": str(segment.value),
    }
    if segment.terminology is not None:
        fields["Tags"] = f"TerminologyEntry:{terminology_tag(segment.terminology)}|"
    return {key + name: value for name, value in fields.items()}


def terminology_tag(terminology: Terminology) -> str:
    """Return a terminology entry in the form of Slicer's segment tag: context~category~type~modifier~region…"""

    def triple(code: Code | None) -> str:
        return f"{code.scheme}^{code.value}^{code.meaning}" if code is not None else "^^"

    return "~".join(
        [
            "Segmentation category and type - 3D Slicer General Anatomy list",
            triple(terminology.category),
            triple(terminology.type),
            triple(terminology.modifier),
            "Anatomic codes - DICOM master list",
            "^^",
            "^^",
        ]
    )


def write_nifti(result: Segmentation, path: Path) -> list[Path]:
    """Write labels as NIfTI: one file with the bundle's channel numbers, or one 0/1 mask a segment where they overlap.

    Returns:
        The files written: `path` itself and `NAME_GROUP.nii.gz` beside it, a 0/1 mask, for each group of labels; or
        `NAME_SEGMENT.nii.gz` for each segment; then the probabilities.
    """
    volumes = chain(_labels(result, path), _probabilities(result, path, ".nii.gz"))
    return [save_nifti(values, result.affine, file) for file, values in volumes]


def _labels(result: Segmentation, path: Path) -> Iterator[tuple[Path, npt.NDArray[Any]]]:
    if result.exclusive:
        yield path, np.asarray(result.layers[0])
    stem = path.name[: -len(".nii.gz")]
    for segment in result.groups if result.exclusive else result.segments:
        yield path.with_name(f"{stem}_{segment.id}.nii.gz"), result.mask(segment).view(np.uint8)


def save_nifti(values: npt.NDArray[Any], affine: npt.NDArray[np.float64], path: Path) -> Path:
    """Write (I, J, K) with its affine IJK→RAS (4, 4) in mm; returns the path."""
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    image.set_qform(affine, code=SCANNER)  # both forms: readers differ in which one they take
    image.set_sform(affine, code=SCANNER)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def report(result: Segmentation) -> dict[str, Any]:
    """Return what was found and how, as plain values: segments with volumes in mL, and the provenance."""
    volumes = result.millilitres()
    return {
        "segments": [
            {
                "id": s.id,
                "name": s.name,
                "value": s.value,
                "layer": s.layer,
                "milliliters": round(volumes[s.id], 3),
                "color": [round(c, 4) for c in s.color],
                "terminology": asdict(s.terminology) if s.terminology else None,
                "shown": s.shown,
            }
            for s in result.segments
        ],
        "geometry": {
            "shape": [int(n) for n in result.layers.shape[1:]],
            "ijk_to_ras": result.affine.tolist(),
            "coordinate_system": "RAS, mm",
        },
        "provenance": asdict(result.provenance) if result.provenance else None,
    }


def write_json(result: Segmentation, path: Path) -> list[Path]:
    """Write the report as JSON; returns the files written."""
    path.write_text(json.dumps(report(result), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [path]


SEGMENTATION_WRITERS: dict[str, Callable[[Segmentation, Path], list[Path]]] = {
    ".seg.nrrd": write_seg_nrrd,
    ".nii.gz": write_nifti,
    ".json": write_json,
}
