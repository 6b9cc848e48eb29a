"""Volumes and what was drawn on them: which belong together, and as files that can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.scene.labelled import LEARN_ATTRIBUTE
from DeepImagingLib.training.cases import inspect, load_case, read_dataset

AFFINE = np.array([[0, -2, 0, 30.0], [1.5, 0, 0, -20.0], [0, 0, 3, 5.0], [0, 0, 0, 1]])


def add(mrml: Any, name: str) -> Any:
    values = np.random.default_rng(0).integers(-100, 100, (1, 12, 10, 8)).astype(np.float32)
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


def test_segments_that_most_have_are_named_first(mrml: Any) -> None:
    drawn = [drawn_on(add(mrml, str(n)), *names) for n, names in enumerate((["b"], ["a", "b"], ["b", "c"]))]
    assert scene.segment_names(drawn) == ["b", "a", "c"]


def test_files_hold_scans_and_labels_at_their_place_and_no_name(mrml: Any, tmp_path: Path) -> None:
    pairs = []
    for name, parts in (("Ms Patient", ("liver", "spleen")), ("Mr Patient", ("spleen",))):
        node = add(mrml, name)
        pairs.append((node, drawn_on(node, *parts)))
    listed = scene.write_labelled(pairs, tmp_path / "files")
    assert not any("Patient" in path.name for path in (tmp_path / "files").iterdir())
    dataset = read_dataset(listed, {"liver": 1, "spleen": 2})
    inspect(dataset).require()
    one, other = (load_case(case, dataset) for case in dataset.cases)
    assert sorted(np.unique(one["label"])) == [0, 1, 2] and sorted(np.unique(other["label"])) == [0, 2]
    middle = np.argwhere(other["label"].numpy()[0] == 2).mean(0)
    expected = AFFINE[:3, :3] @ (3.5, 3.5, 2.5) + AFFINE[:3, 3]
    assert np.asarray(other["image"].affine)[:3, :3] @ middle + np.asarray(other["image"].affine)[
        :3, 3
    ] == pytest.approx(expected)


def test_without_a_pair_there_is_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pair them"):
        scene.write_labelled([], tmp_path)
