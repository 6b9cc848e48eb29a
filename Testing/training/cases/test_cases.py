"""Sets of labelled scans: how they are listed, what is told of them before training, who goes where."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from DeepImagingLib.errors import InputError
from DeepImagingLib.training.cases import (
    Case,
    Dataset,
    Facts,
    fold,
    inspect,
    load_case,
    parse_labels,
    read_dataset,
    split,
)

SHAPE = (12, 10, 8)
GRID = np.diag([2.0, 2.0, 3.0, 1.0])
LABELS = {"liver": 1, "tumour": 2}


def write_image(path: Path, *, shape: tuple[int, ...] = SHAPE, affine: np.ndarray = GRID) -> Path:
    """Write an image of noise, another for each name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(list(path.name.encode())).normal(50, 20, shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def write_label(path: Path, *, numbers: tuple[int, ...] = (1, 2), affine: np.ndarray = GRID) -> Path:
    """Write a label map with a block for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(SHAPE, np.uint8)
    for place, number in enumerate(numbers):
        values[2 + 3 * place : 5 + 3 * place, 3:7, 2:6] = number
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def write_folder(folder: Path, cases: int = 4) -> Path:
    """Write a folder with images/ and labels/."""
    for number in range(cases):
        write_image(folder / "images" / f"case{number}.nii.gz")
        write_label(folder / "labels" / f"case{number}.nii.gz")
    return folder


class TestLists:
    def test_a_folder_pairs_files_of_the_same_name(self, tmp_path: Path) -> None:
        write_folder(tmp_path, 2)
        cases = read_dataset(tmp_path, LABELS).cases
        assert [(case.images[0].name, case.label.name) for case in cases] == [
            ("case0.nii.gz",) * 2,
            ("case1.nii.gz",) * 2,
        ]

    def test_patterns_pair_files_of_different_names(self, tmp_path: Path) -> None:
        write_image(tmp_path / "images" / "a_ct.nii.gz")
        write_label(tmp_path / "labels" / "organs_a.seg.nrrd".replace(".seg.nrrd", ".nii.gz"))
        (case,) = read_dataset(tmp_path, LABELS, "*_ct.nii.gz", "organs_*.nii.gz").cases
        assert (case.images[0].name, case.label.name) == ("a_ct.nii.gz", "organs_a.nii.gz")

    def test_decathlon_names_its_labels_and_channels(self, tmp_path: Path) -> None:
        write_folder(tmp_path, 1)
        listed = {
            "modality": {"0": "CT"},
            "labels": {"0": "background", "1": "liver", "2": "tumour"},
            "training": [{"image": "./images/case0.nii.gz", "label": "./labels/case0.nii.gz"}],
            "test": ["./images/none.nii.gz"],
        }
        (tmp_path / "dataset.json").write_text(json.dumps(listed))
        dataset = read_dataset(tmp_path)
        assert (dataset.labels, dataset.channels, len(dataset.cases)) == (LABELS, ("CT",), 1)
        assert not inspect(dataset).problems

    def test_a_csv_has_channels_subjects_and_splits(self, tmp_path: Path) -> None:
        (tmp_path / "list.csv").write_text(
            "image_T1,image_T2,label,subject,split\na1.nii,a2.nii,a.nii,p1,train\nb1.nii,b2.nii,b.nii,p2,val\n"
        )
        dataset = read_dataset(tmp_path / "list.csv", LABELS)
        assert dataset.channels == ("t1", "t2")
        assert [(case.subject, case.split) for case in dataset.cases] == [("p1", "train"), ("p2", "validation")]
        assert [path.name for path in dataset.cases[1].images] == ["b1.nii", "b2.nii"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("scan,mask\na,b\n", "needs the columns"),
            ("image,label\na,\nb,c\n,d\n", "lines 2, 4"),
            ("image,label,split\na,b,tomorrow\n", "tomorrow"),
            ("image,label\n", "no case"),
        ],
    )
    def test_a_wrong_csv_says_what_is_wrong(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "list.csv").write_text(text)
        with pytest.raises(InputError, match=said):
            read_dataset(tmp_path / "list.csv", LABELS)

    def test_labels_need_names(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="--labels"):
            read_dataset(write_folder(tmp_path, 1))

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            ("liver", {"liver": 1}),
            ("a,b", {"a": 1, "b": 2}),
            ("a=5,b", {"a": 5, "b": 6}),
            ("b=2,a=1", {"b": 2, "a": 1}),
        ],
    )
    def test_labels_are_numbered_in_their_order(self, words: str, found: dict[str, int]) -> None:
        assert parse_labels(words) == found

    @pytest.mark.parametrize("words", ["", "a,,b", "a,a", "a=1,b=1", "a=0", "a=x", "a=²"])
    def test_wrong_labels_are_refused(self, words: str) -> None:
        with pytest.raises(InputError, match="label"):
            parse_labels(words)


class TestInspection:
    def test_a_good_set_has_no_problem_and_its_facts(self, tmp_path: Path) -> None:
        found = inspect(read_dataset(write_folder(tmp_path, 2), LABELS))
        found.require()
        assert not found.problems
        assert [one.shape for one in found.facts] == [SHAPE, SHAPE]
        assert found.facts[0].spacing == pytest.approx((2, 2, 3))
        assert found.facts[0].voxels.tolist() == [SHAPE[0] * SHAPE[1] * SHAPE[2] - 96, 48, 48]
        assert found.facts[0].foreground.shape == (1, 96)

    def test_everything_wrong_is_told_at_once_each_with_its_file(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path, 7)
        images, labels = folder / "images", folder / "labels"
        (labels / "case0.nii.gz").unlink()
        (images / "case1.nii.gz").write_bytes(b"no image")
        write_label(labels / "case2.nii.gz", affine=np.diag([2.0, 2.0, 3.0, 1.0]) + np.eye(4, k=3) * 500)
        write_label(labels / "case3.nii.gz", numbers=(1, 9))
        write_image(images / "case4.nii.gz", shape=(*SHAPE, 2))
        nibabel.save(nibabel.Nifti1Image(np.full(SHAPE, np.nan, np.float32), GRID), images / "case5.nii.gz")
        found = inspect(read_dataset(folder, LABELS | {"spleen": 3}))
        told = {problem.case.name if problem.case else "": problem for problem in found.problems}
        for name, words in {
            "case0.nii.gz": "There is no file",
            "case1.nii.gz": "not a readable NIfTI",
            "case2.nii.gz": "mm beside case2.nii.gz",
            "case3.nii.gz": "label numbers 9",
            "case4.nii.gz": "2 channels, expected 1",
            "case5.nii.gz": "without a number",
            "": "No case has the label 'spleen'",
        }.items():
            assert words in told[name].text
        assert not told["case3.nii.gz"].fatal
        with pytest.raises(InputError, match="6 problems") as raised:
            found.require()
        assert str(raised.value).count("\n") == 6

    def test_a_subject_on_both_sides_is_told(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path, 3)
        rows = "".join(
            f"images/case{n}.nii.gz,labels/case{n}.nii.gz,p{n // 2},{part}\n"
            for n, part in enumerate(["train", "validation", "train"])
        )
        (folder / "list.csv").write_text("image,label,subject,split\n" + rows)
        problems = inspect(read_dataset(folder / "list.csv", LABELS)).problems
        assert [problem.case.name for problem in problems if problem.case] == ["case0.nii.gz", "case1.nii.gz"]
        assert "train and validation" in problems[0].text

    def test_a_scan_that_is_there_twice_is_told(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path, 3)
        shutil.copyfile(folder / "images" / "case0.nii.gz", folder / "images" / "case2.nii.gz")
        (problem,) = inspect(read_dataset(folder, LABELS)).problems
        assert problem.fatal and "case2.nii.gz: its scan is that of case0.nii.gz" in problem.text

    @pytest.mark.parametrize("part", ["train", "validation"])
    def test_splits_need_a_case_each(self, tmp_path: Path, part: str) -> None:
        folder = write_folder(tmp_path, 3)
        rows = "".join(f"images/case{n}.nii.gz,labels/case{n}.nii.gz,{part}\n" for n in range(3))
        (folder / "list.csv").write_text("image,label,split\n" + rows)
        found = inspect(read_dataset(folder / "list.csv", LABELS))
        with pytest.raises(InputError, match="No case is in the split"):
            split(found.dataset, found.facts, 0)

    def test_two_segments_of_a_name_are_told(self, tmp_path: Path) -> None:
        image = write_image(tmp_path / "a.nii.gz")
        segmentation = sitk.ReadImage(str(write_label(tmp_path / "plain.nii.gz")))
        for index in range(2):
            segmentation.SetMetaData(f"Segment{index}_Name", "liver")
            segmentation.SetMetaData(f"Segment{index}_LabelValue", str(index + 1))
        sitk.WriteImage(segmentation, str(tmp_path / "a.seg.nrrd"))
        (problem,) = (p for p in inspect(Dataset((Case((image,), tmp_path / "a.seg.nrrd", "a"),), LABELS)).problems)
        assert "two segments called 'liver'" in problem.text

    def test_fractions_are_no_labels(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path, 1)
        values = np.random.default_rng(0).random(SHAPE).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, GRID), folder / "labels" / "case0.nii.gz")
        assert "no label numbers" in inspect(read_dataset(folder, LABELS)).problems[0].text


class TestLoading:
    def test_labels_on_another_grid_come_onto_the_image_s(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path, 1)
        fine = np.kron(nibabel.load(folder / "labels" / "case0.nii.gz").get_fdata(), np.ones((2, 2, 2)))
        affine = GRID @ np.diag([0.5, 0.5, 0.5, 1])
        affine[:3, 3] = GRID[:3, :3] @ [-0.25, -0.25, -0.25]
        expected = load_case(read_dataset(folder, LABELS).cases[0], read_dataset(folder, LABELS))["label"]
        nibabel.save(nibabel.Nifti1Image(fine.astype(np.uint8), affine), folder / "labels" / "case0.nii.gz")
        dataset = read_dataset(folder, LABELS)
        assert np.array_equal(load_case(dataset.cases[0], dataset)["label"], expected)

    def test_labels_are_renumbered_in_the_order_they_are_asked_for(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path, 1)
        write_label(folder / "labels" / "case0.nii.gz", numbers=(7, 4))
        dataset = read_dataset(folder, {"tumour": 4, "liver": 7})
        label = load_case(dataset.cases[0], dataset)["label"].numpy()[0]
        assert (label[3, 4, 4], label[6, 4, 4], label[0, 0, 0]) == (2, 1, 0)

    def test_a_slicer_segmentation_brings_its_own_numbers(self, tmp_path: Path) -> None:
        image = write_image(tmp_path / "a.nii.gz")
        write_label(tmp_path / "plain.nii.gz", numbers=(3, 1))
        segmentation = sitk.ReadImage(str(tmp_path / "plain.nii.gz"))
        for index, (name, value) in enumerate({"tumour": 3, "vessel": 2, "liver": 1}.items()):
            segmentation.SetMetaData(f"Segment{index}_Name", name)
            segmentation.SetMetaData(f"Segment{index}_LabelValue", str(value))
        sitk.WriteImage(segmentation, str(tmp_path / "a.seg.nrrd"))
        dataset = Dataset((Case((image,), tmp_path / "a.seg.nrrd", "a"),), LABELS)
        label = load_case(dataset.cases[0], dataset)["label"].numpy()[0]
        assert (label[3, 4, 4], label[6, 4, 4]) == (2, 1)
        assert not inspect(dataset).problems

    def test_channels_in_files_of_their_own_become_one_image(self, tmp_path: Path) -> None:
        paths = tuple(write_image(tmp_path / f"{name}.nii.gz") for name in "ab")
        label = write_label(tmp_path / "label.nii.gz")
        dataset = Dataset((Case(paths, label, "p"),), LABELS, ("a", "b"))
        assert load_case(dataset.cases[0], dataset)["image"].shape == (2, *SHAPE)


def made_dataset(present: list[set[int]], subjects: list[int]) -> tuple[Dataset, list[Facts]]:
    """A set whose cases have these labels."""
    cases = tuple(Case((Path(f"{n}"),), Path(f"{n}"), f"p{s}") for n, s in enumerate(subjects))
    none = np.zeros((1, 0), np.float32)
    facts = [
        Facts(case, SHAPE, (1, 1, 1), np.array([9] + [int(label in has) for label in range(3)]), none, none, "")
        for case, has in zip(cases, present)
    ]
    return Dataset(cases, {"a": 1, "b": 2, "c": 3}), facts


class TestSplits:
    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(st.tuples(st.integers(0, 9), st.sets(st.integers(0, 2))), min_size=2, max_size=30), st.integers(0, 5)
    )
    def test_subjects_stay_whole_and_both_parts_have_some(self, drawn: list[tuple[int, set[int]]], seed: int) -> None:
        dataset, facts = made_dataset([has for _, has in drawn], [subject for subject, _ in drawn])
        if len({case.subject for case in dataset.cases}) < 2:
            with pytest.raises(InputError, match="one each"):
                split(dataset, facts, seed)
            return
        done = split(dataset, facts, seed)
        assert len({(case.subject, case.split) for case in done.cases}) == len({case.subject for case in done.cases})
        assert {case.split for case in done.cases} == {"train", "validation"}
        assert done == split(dataset, facts, seed)

    def test_rare_labels_are_in_both_parts(self) -> None:
        present = [{0} for _ in range(16)] + [{0, 1} for _ in range(4)]
        dataset, facts = made_dataset(present, list(range(20)))
        for seed in range(10):
            done = split(dataset, facts, seed)
            rare = Counter(case.split for case, has in zip(done.cases, present) if 1 in has)
            assert (rare["train"], rare["validation"]) == (3, 1)

    def test_another_seed_is_another_split(self) -> None:
        dataset, facts = made_dataset([{0}] * 20, list(range(20)))
        assert len({split(dataset, facts, seed).part("validation") for seed in range(5)}) > 1

    def test_what_has_a_split_keeps_it(self) -> None:
        dataset, facts = made_dataset([{0}, {1}, {2}], [0, 1, 2])
        parts = ("validation", "train", "train")
        cases = tuple(replace(case, split=part) for case, part in zip(dataset.cases, parts))
        facts = [replace(one, case=case) for one, case in zip(facts, cases)]
        assert split(replace(dataset, cases=cases), facts, 0).cases == cases


class TestFolds:
    @settings(max_examples=40, deadline=None)
    @given(subjects=st.integers(2, 30), count=st.integers(2, 6), seed=st.integers(0, 5))
    def test_every_subject_is_validated_on_once(self, subjects: int, count: int, seed: int) -> None:
        cases = tuple(Case((Path(f"{n}.nii"),), Path(f"{n}.nii"), f"s{n // 2}") for n in range(2 * subjects))
        dataset = Dataset(cases, LABELS)
        none = np.zeros((1, 0), np.float32)
        facts = [
            Facts(case, SHAPE, (1, 1, 1), np.array([10, n % 2, 1]), none, none, "") for n, case in enumerate(cases)
        ]
        if subjects < count:
            with pytest.raises(InputError, match="need one each"):
                fold(dataset, facts, seed, 1, count)
            return
        seen = [
            {c.subject for c in fold(dataset, facts, seed, n, count).part("validation")} for n in range(1, count + 1)
        ]
        assert Counter(subject for part in seen for subject in part) == Counter({f"s{n}": 1 for n in range(subjects)})
        assert max(map(len, seen)) - min(map(len, seen)) <= 1

    def test_a_fold_that_is_none_is_told(self) -> None:
        with pytest.raises(InputError, match="no fold 6 of 5"):
            fold(Dataset((), LABELS), [], 0, 6, 5)
