"""Write a segmentation node to the files other programs read; what the files say is where the views show it."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError, OutputError
from DeepImagingLib.files import failed_writing, staged, write_nifti
from DeepImagingLib.files.names import unique_ids
from DeepImagingLib.results import Segmentation
from DeepImagingLib.scene.removal import GROUP_TAG
from DeepImagingLib.scene.volumes import as_array, as_matrix, kji_array, world_from_local

HEADER = "DeepImaging output. SPACE=LPS"  # by this word Slicer knows the axes of a mesh when it loads it


def export_segmentation(segmentation_node: Any, path: str | Path) -> list[Path]:
    """Write a segmentation in the world's coordinates, through its parent transform.

    `.seg.nrrd` is Slicer's own format, with all it knows. `.nii.gz` and `.nrrd` hold the label values in the
    segmentation's reference geometry, with a 0/1 mask in `NAME_GROUP.nii.gz` for each group of labels, or, where
    segments may overlap, for each segment. `.stl` is one surface a segment, `NAME_SEGMENT.stl` where there are
    several; `.obj` holds all of them, with their colours in a `.mtl` beside it. Segments without voxels have no
    surface. Meshes are in LPS, as Slicer's are. An ending in capitals becomes a small one.

    Returns:
        The files written; none is there half-written, and on an error older ones stay as they were.

    Raises:
        InputError: The ending is none of these, there is no name before it, there is nothing to write, or the parent
            transform isn't linear.
        OutputError: Writing failed.
    """
    given = Path(path)
    ending = next((known for known in WRITERS if given.name.lower().endswith(known)), None)
    if ending is None:
        raise InputError(f"{given.name!r} has none of the endings {', '.join(WRITERS)}; choose one of them.")
    stem = given.name[: -len(ending)]
    if not stem:
        raise InputError(f"{given.name!r} is an ending without a name; put one before it.")
    if not segmentation_node.GetSegmentation().GetNumberOfSegments():
        raise InputError("The segmentation has no segments to write; run a model, or draw one, first.")
    final = given.with_name(stem + ending)  # the writers choose the format by the ending, and know small ones only
    try:
        with staged([final]) as places:
            written = WRITERS[ending](segmentation_node, places[final], stem)
    except OSError as error:
        raise failed_writing(error) from error
    return [final.parent / file.name for file in written]


def _write_seg_nrrd(node: Any, path: Path, stem: str) -> list[Path]:
    import slicer

    in_world = node
    if node.GetParentTransformNode() is not None:
        in_world = slicer.vtkMRMLSegmentationNode()
        in_world.CopyContent(node)
        in_world.ApplyTransformMatrix(as_matrix(world_from_local(node)))
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    _check(storage.WriteData(in_world) and _is_whole(path), path)
    return [path]


def _write_labelmaps(node: Any, path: Path, stem: str) -> list[Path]:
    segmentation = node.GetSegmentation()
    ids = list(segmentation.GetSegmentIDs())
    groups = [i for i in ids if segmentation.GetSegment(i).HasTag(GROUP_TAG)]
    labels = {i: segmentation.GetSegment(i).GetLabelValue() for i in ids if i not in groups}
    together = len({segmentation.GetLayerIndex(i) for i in labels}) == 1
    written = [_write_labelmap(node, labels, path)] if together else []
    ending = path.name[len(stem) :]
    names = dict(zip(ids, unique_ids(ids), strict=True))
    return written + [
        _write_labelmap(node, {i: 1}, path.with_name(f"{stem}_{names[i]}{ending}"))
        for i in (groups if together else ids)
    ]


def _write_labelmap(node: Any, values: dict[str, int], path: Path) -> Path:
    """Write the segments of `values` with these values, as they lie in the reference geometry."""
    import slicer
    import vtk

    ids, labels = vtk.vtkStringArray(), vtk.vtkIntArray()
    for segment_id, value in values.items():
        ids.InsertNextValue(segment_id)
        labels.InsertNextValue(value)
    labelmap = slicer.vtkOrientedImageData()
    slicer.vtkSlicerSegmentationsModuleLogic.GenerateMergedLabelmapInReferenceGeometry(
        node, None, ids, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, labelmap, labels
    )
    if labelmap.IsEmpty():
        raise InputError("The segmentation has neither voxels nor a geometry; draw a segment on a volume first.")
    local_from_ijk = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(local_from_ijk)
    first = np.eye(4)
    first[:3, 3] = labelmap.GetExtent()[::2]  # the geometry's own indices need not start at 0, as those of a file do
    world_from_ijk = world_from_local(node) @ as_array(local_from_ijk) @ first
    if path.name.endswith(".nrrd"):
        return _write_nrrd(labelmap, world_from_ijk, path)
    return write_nifti(Segmentation(kji_array(labelmap).T[None], world_from_ijk, ()), path)[0]


def _write_nrrd(labelmap: Any, world_from_ijk: npt.NDArray[np.float64], path: Path) -> Path:
    import slicer

    writer = slicer.vtkTeemNRRDWriter()
    writer.SetInputData(labelmap)
    writer.SetIJKToRASMatrix(as_matrix(world_from_ijk))
    writer.SetFileName(str(path))
    writer.SetUseCompression(1)
    writer.Write()
    _check(not writer.GetWriteError() and _is_whole(path), path)
    return path


def _is_whole(path: Path) -> bool:
    """Tell whether a compressed NRRD file can be read to its end, which its writer doesn't see fail."""
    size = 0
    with path.open("rb") as file:
        while file.readline().strip():
            pass  # the header, which ends with an empty line
        try:
            with gzip.open(file) as voxels:
                while piece := voxels.read(1 << 20):
                    size += len(piece)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return False
    return size > 0  # gzip takes nothing at all for whole


def _write_stl(node: Any, path: Path, stem: str) -> list[Path]:
    import vtk

    surfaces = list(_surfaces(node))
    names = unique_ids([segment_id for segment_id, _ in surfaces])
    files = [path] if len(surfaces) == 1 else [path.with_name(f"{stem}_{name}.stl") for name in names]
    for file, (_, surface) in zip(files, surfaces, strict=True):
        writer = vtk.vtkSTLWriter()
        writer.SetInputData(surface)
        writer.SetFileTypeToBinary()
        writer.SetHeader(HEADER)
        writer.SetFileName(str(file))
        _check(writer.Write(), file)
    return files


def _write_obj(node: Any, path: Path, stem: str) -> list[Path]:
    import vtk

    renderer, window = vtk.vtkRenderer(), vtk.vtkRenderWindow()  # never drawn: the exporter takes what is in it
    window.AddRenderer(renderer)
    surfaces = list(_surfaces(node))
    for segment_id, surface in surfaces:
        mapper, actor = vtk.vtkPolyDataMapper(), vtk.vtkActor()
        mapper.SetInputData(surface)
        actor.SetMapper(mapper)
        actor.GetProperty().SetColor(*node.GetSegmentation().GetSegment(segment_id).GetColor())
        renderer.AddActor(actor)
    exporter = vtk.vtkOBJExporter()
    exporter.SetRenderWindow(window)
    exporter.SetFilePrefix(str(path.with_name(stem)))
    exporter.SetOBJFileComment(HEADER)
    exporter.Write()  # it doesn't tell whether it could
    materials = path.with_name(f"{stem}.mtl")
    mesh, triangles = path.read_bytes(), sum(surface.GetNumberOfPolys() for _, surface in surfaces)
    _check(mesh.endswith(b"\n") and mesh.count(b"\nf ") == triangles, path)
    _check(len(re.findall(rb"\nillum \d", materials.read_bytes())) == len(surfaces), materials)
    return [path, materials]


def _surfaces(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield segment id and triangles in LPS mm of the world, of all segments that have any."""
    import slicer
    import vtk

    to_lps = vtk.vtkTransform()
    to_lps.Scale(-1, -1, 1)
    found = False
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        surface = vtk.vtkPolyData()
        slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentClosedSurfaceRepresentation(node, segment_id, surface)
        if surface.GetNumberOfPolys():
            found = True
            turned, triangles = vtk.vtkTransformPolyDataFilter(), vtk.vtkTriangleFilter()
            turned.SetTransform(to_lps)
            turned.SetInputData(surface)
            triangles.SetInputConnection(turned.GetOutputPort())
            triangles.Update()
            yield segment_id, triangles.GetOutput()
    if not found:
        raise InputError("No segment has a voxel, so there is no surface to write.")


def _check(written: int, path: Path) -> None:
    if not written:
        raise OutputError(f"{path.name!r} could not be written; is the disk full?")


WRITERS: dict[str, Callable[[Any, Path, str], list[Path]]] = {
    ".seg.nrrd": _write_seg_nrrd,
    ".nii.gz": _write_labelmaps,
    ".nrrd": _write_labelmaps,
    ".stl": _write_stl,
    ".obj": _write_obj,
}
