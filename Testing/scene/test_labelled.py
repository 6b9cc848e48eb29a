"""Volumes and what was drawn on them: which belong together, and as files that can be trained on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from DeepImagingLib import scene
from DeepImagingLib.hosts import InProcessHost
from DeepImagingLib.hosts.training import WriteScan
from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.scene.labelled import LEARN_ATTRIBUTE
from DeepImagingLib.training.cases import inspect, load_case, read_dataset
from Testing.scene.nodes import set_parent

AFFINE = np.array([[0, -2, 0, 30.0], [1.5, 0, 0, -20.0], [0, 0, 3, 5.0], [0, 0, 0, 1]])


def add(mrml: Any, name: str) -> Any:
    values = np.random.default_rng(list(name.encode())).integers(-100, 100, (1, 12, 10, 8)).astype(np.float32)
    return scene.add_volume(mrml, MetaTensor(torch.from_numpy(values), affine=torch.from_numpy(AFFINE)), name)


def drawn_on(reference: Any, *names: str) -> Any:
    layers = np.zeros((1, 12, 10, 8), np.uint8)
    for value in range(1, len(names) + 1):
        layers[0, 3 * value : 3 * value + 2, 2:6, 1:5] = value
    segments = tuple(
        Segment(id=name, name=name, layer=0, value=value, color=(1, 0, 0)) for value, name in enumerate(names, 1)
    )
    node = scene.show(Segmentation(layers=layers, affine=AFFINE, segments=segments), reference, surface=False)
    scene.learn_from(node)
    return node


def write(pairs: list[tuple[Any, Any]], folder: Path) -> Path:
    """Write pairs as a panel does; returns the list of them."""
    host = InProcessHost()
    for number, (volume, segmentation) in enumerate(pairs, 1):
        image, label = scene.case_files(folder, number)
        scene.export_segmentation(segmentation, label)
        host.submit(WriteScan(scene.voxels(volume), image)).result()
    scene.write_list([volume for volume, _segmentation in pairs], folder)
    return scene.list_of(folder)


def test_what_a_model_made_is_learnt_from_once_somebody_says_so(mrml: Any) -> None:
    first, second = add(mrml, "one"), add(mrml, "two")
    drawn = drawn_on(first, "liver")
    drawn.RemoveAttribute(LEARN_ATTRIBUTE)
    assert scene.pairs(mrml) == [] and scene.drafts(mrml) == [(first, drawn), (second, None)]
    scene.learn_from(drawn)
    assert scene.pairs(mrml) == [(first, drawn)] and scene.drafts(mrml) == [(second, None)]


def test_label_maps_are_no_scans(mrml: Any) -> None:
    mrml.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert scene.drafts(mrml) == []


def test_a_segmentation_belongs_to_the_volume_it_was_drawn_on(mrml: Any) -> None:
    first, second = add(mrml, "one"), add(mrml, "two")
    drawn = drawn_on(second, "liver")
    assert scene.pairs(mrml) == [(second, drawn)]
    assert first.GetName() == "one"


def test_else_the_name_decides(mrml: Any) -> None:
    first, second = add(mrml, "CT_007"), add(mrml, "CT_008")
    nodes = [mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", name) for name in ("ct 008-seg", "label CT 007")]
    assert dict(scene.pairs(mrml)) == {first: nodes[1], second: nodes[0]}


def test_names_of_the_same_signs_in_another_order_are_kept_apart(mrml: Any) -> None:
    first, second = add(mrml, "Study 1 11"), add(mrml, "Study 11 1")
    nodes = [mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{one.GetName()} seg") for one in (second, first)]
    assert dict(scene.pairs(mrml)) == {first: nodes[1], second: nodes[0]}


def test_a_scan_that_nothing_fits_may_be_learnt_from_unless_a_model_outlined_it(mrml: Any) -> None:
    first, second, third = (add(mrml, name) for name in ("one", "two", "three"))
    drawn = drawn_on(first, "liver")
    drawn_on(third, "liver").RemoveAttribute(LEARN_ATTRIBUTE)
    assert scene.scans(mrml) == [(first, drawn), (second, None)]
    assert scene.outlines(mrml) == [drawn]


def test_of_what_models_made_the_last_counts(mrml: Any) -> None:
    volume = add(mrml, "one")
    made = [drawn_on(volume, "liver") for _ in range(2)]
    for node in made:
        node.RemoveAttribute(LEARN_ATTRIBUTE)
    assert scene.drafts(mrml) == [(volume, made[1])]


class TestTheStamp:
    @pytest.fixture
    def pair(self, mrml: Any) -> tuple[Any, Any]:
        volume = add(mrml, "one")
        return volume, drawn_on(volume, "liver", "spleen")

    def test_stays_while_nothing_changes(self, pair: tuple[Any, Any], tmp_path: Path) -> None:
        before = scene.stamp(*pair)
        pair[0].SetName("another name")
        scene.export_segmentation(pair[1], tmp_path / "copy.seg.nrrd")
        assert scene.stamp(*pair) == before

    def test_is_another_with_every_change(self, pair: tuple[Any, Any]) -> None:
        import slicer

        volume, drawn = pair
        seen = [scene.stamp(*pair)]
        slicer.util.arrayFromVolume(volume)[:] = 1
        slicer.util.arrayFromVolumeModified(volume)
        seen.append(scene.stamp(*pair))
        id_ = drawn.GetSegmentation().GetNthSegmentID(0)
        mask = np.zeros((8, 10, 12), np.uint8)
        mask[1] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, drawn, id_, volume)
        seen.append(scene.stamp(*pair))
        drawn.GetSegmentation().GetSegment(id_).SetName("kidney")
        seen.append(scene.stamp(*pair))
        set_parent(volume, np.diag([1.0, 1, 2, 1]))
        seen.append(scene.stamp(*pair))
        drawn.GetSegmentation().RemoveSegment(id_)
        seen.append(scene.stamp(*pair))
        assert len(set(seen)) == 6


def test_segments_that_most_have_are_named_first(mrml: Any) -> None:
    drawn = [drawn_on(add(mrml, str(n)), *names) for n, names in enumerate((["b"], ["a", "b"], ["b", "c"]))]
    assert scene.segment_names(drawn) == ["b", "a", "c"]


def test_files_hold_scans_and_labels_at_their_place_and_no_name(mrml: Any, tmp_path: Path) -> None:
    pairs = []
    for name, parts in (("Ms Patient", ("liver", "spleen")), ("Mr Patient", ("spleen",))):
        node = add(mrml, name)
        pairs.append((node, drawn_on(node, *parts)))
    listed = write(pairs, tmp_path / "files")
    assert not any("Patient" in path.name for path in (tmp_path / "files").iterdir())
    assert "Patient" not in listed.read_text()
    dataset = read_dataset(listed, {"liver": 1, "spleen": 2})
    inspect(dataset).require()
    one, other = (load_case(case, dataset) for case in dataset.cases)
    assert sorted(np.unique(one["label"])) == [0, 1, 2] and sorted(np.unique(other["label"])) == [0, 2]
    middle = np.argwhere(other["label"].numpy()[0] == 2).mean(0)
    expected = AFFINE[:3, :3] @ (3.5, 3.5, 2.5) + AFFINE[:3, 3]
    assert np.asarray(other["image"].affine)[:3, :3] @ middle + np.asarray(other["image"].affine)[
        :3, 3
    ] == pytest.approx(expected)


def test_scans_of_a_patient_are_one_subject_and_others_each_their_own(mrml: Any, tmp_path: Path) -> None:
    import slicer

    volumes = [add(mrml, name) for name in ("arterial", "venous", "another", "unfiled")]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(mrml)
    for patient, scans in (("Ms Patient", volumes[:2]), ("Mr Patient", volumes[2:3])):
        study = hierarchy.CreateStudyItem(hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), patient), "study")
        for volume in scans:
            hierarchy.CreateItem(study, volume)
    dataset = read_dataset(write([(one, drawn_on(one, "liver")) for one in volumes], tmp_path), {"liver": 1})
    subjects = [case.subject for case in dataset.cases]
    assert subjects[0] == subjects[1] and len(set(subjects)) == 3


def test_scans_are_written_in_the_type_they_have(mrml: Any, tmp_path: Path) -> None:
    import nibabel

    volume = add(mrml, "one")
    write([(volume, drawn_on(volume, "liver"))], tmp_path)
    image = nibabel.load(tmp_path / "case001.nii")
    assert image.get_data_dtype() == scene.voxels(volume).array.dtype == np.int16
    assert np.array_equal(np.asarray(image.dataobj).T, scene.voxels(volume).array)
    assert image.affine == pytest.approx(AFFINE)


def test_nothing_heavy_is_imported_beside_the_scene() -> None:
    code = """
import sys, tempfile, pathlib, numpy
from DeepImagingLib import scene
from DeepImagingLib.hosts.training import WriteScan
scene.host()
import slicer
volume = slicer.util.addVolumeFromArray(numpy.zeros((4, 4, 4), "int16"))
drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Volume segmentation")
drawn.SetReferenceImageGeometryParameterFromVolumeNode(volume)
drawn.GetSegmentation().AddEmptySegment("", "liver")
folder = pathlib.Path(tempfile.mkdtemp())
image, label = scene.case_files(folder, 1)
scene.export_segmentation(drawn, label)
WriteScan(scene.voxels(volume), image), scene.stamp(volume, drawn)
scene.write_list([volume], folder)
assert label.is_file() and not {"torch", "monai", "nibabel"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
