"""Write a segmentation node to the files other programs read; what the files say is where the views show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from DeepImagingLib.errors import InputError, OutputError
from DeepImagingLib.files import staged
from DeepImagingLib.scene.volumes import as_matrix, world_from_local
from DeepImagingLib.tasks.segmentation import unique_ids

HEADER = "DeepImaging output. SPACE=LPS"  # by this word Slicer knows the axes of a mesh when it loads it
OBJ_SHADE = 1 / 3  # the OBJ writer takes the colour for ambient, diffuse and specular light alike


def export_segmentation(segmentation_node: Any, path: str | Path) -> list[Path]:
    """Write a segmentation in the world's coordinates, through its parent transform.

    `.seg.nrrd` is Slicer's own format, with all it knows. `.nii.gz` and `.nrrd` hold the label values in the
    segmentation's reference geometry, or, where segments may overlap, a 0/1 mask each in `NAME_SEGMENT.nii.gz`. `.stl`
    is one surface a segment, `NAME_SEGMENT.stl` where there are several; `.obj` holds all of them, with their colours
    in a `.mtl` beside it. Segments without voxels have no surface. Meshes are in LPS, as Slicer's are.

    Returns:
        The files written; none is there half-written, and on an error older ones stay as they were.

    Raises:
        InputError: The ending is none of these, there is nothing to write, or the parent transform isn't linear.
        OutputError: Writing failed.
    """
    final = Path(path)
    ending = next((known for known in WRITERS if final.name.lower().endswith(known)), None)
    if ending is None:
        raise InputError(f"{final.name!r} has none of the endings {', '.join(WRITERS)}; choose one of them.")
    if not segmentation_node.GetSegmentation().GetNumberOfSegments():
        raise InputError("The segmentation has no segments to write; run a model, or draw one, first.")
    with staged([final]) as places:
        written = WRITERS[ending](segmentation_node, places[final], final.name[: -len(ending)])
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
    _check(storage.WriteData(in_world), path)
    return [path]


def _write_labelmaps(node: Any, path: Path, stem: str) -> list[Path]:
    segmentation = node.GetSegmentation()
    segments = {i: segmentation.GetSegment(i) for i in segmentation.GetSegmentIDs()}
    if segmentation.GetNumberOfLayers() == 1:
        return [_write_labelmap(node, {i: s.GetLabelValue() for i, s in segments.items()}, path)]
    ending = path.name[len(stem) :]
    names = unique_ids(list(segments))
    return [
        _write_labelmap(node, {segment_id: 1}, path.with_name(f"{stem}_{name}{ending}"))
        for segment_id, name in zip(segments, names, strict=True)
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
    local_from_ijk = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(local_from_ijk)
    ijk_from_world = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Multiply4x4(as_matrix(world_from_local(node)), local_from_ijk, ijk_from_world)
    ijk_from_world.Invert()
    writer = slicer.vtkITKImageWriter()
    writer.SetInputData(labelmap)
    writer.SetRasToIJKMatrix(ijk_from_world)
    writer.SetFileName(str(path))
    writer.SetUseCompression(1)
    writer.Write()
    return path


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
    for segment_id, surface in _surfaces(node):
        mapper, actor = vtk.vtkPolyDataMapper(), vtk.vtkActor()
        mapper.SetInputData(surface)
        actor.SetMapper(mapper)
        color = np.array(node.GetSegmentation().GetSegment(segment_id).GetColor()) * OBJ_SHADE
        actor.GetProperty().SetColor(*color)
        renderer.AddActor(actor)
    exporter = vtk.vtkOBJExporter()
    exporter.SetRenderWindow(window)
    exporter.SetFilePrefix(str(path.with_name(stem)))
    exporter.SetOBJFileComment(HEADER)
    exporter.Write()
    return [path, path.with_name(f"{stem}.mtl")]


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
