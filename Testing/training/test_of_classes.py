"""Images with labels of their own become a classifier, from scratch or from another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from DeepImagingLib import run
from DeepImagingLib.errors import InputError
from DeepImagingLib.results import Classification
from DeepImagingLib.training.cases import read_dataset
from DeepImagingLib.training.compose import Assignment, Draft, draft
from Testing.bundles.make_classifiers import write_breast_density_like, write_endoscopy_like

NETWORK: dict[str, Any] = {
    "_target_": "DenseNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 2,
    "init_features": 8,
    "growth_rate": 8,
    "block_config": [2, 2],
}


def write_pictures(folder: Path, count: int = 12, *, size: tuple[int, int] = (60, 40), colour: bool = False) -> Path:
    """Write grey pictures with a bright disc in every second one, and a bar in every third; returns their table."""
    rng = np.random.default_rng(0)
    lines = ["image,disc,bar,subject"]
    y, x = np.mgrid[: size[1], : size[0]]
    for number in range(count):
        values = rng.normal(60, 12, (size[1], size[0]))
        disc, bar = number % 2 == 0, number % 3 == 0
        if disc:
            values[np.hypot(x - rng.integers(15, 45), y - rng.integers(12, 28)) < 8] += 120
        if bar:
            values[:, rng.integers(5, 55)] += 150
        grey = values.clip(0, 255).astype(np.uint8)
        Image.fromarray(np.stack([grey] * 3, -1) if colour else grey).save(folder / f"secret{number}.png")
        lines.append(f"secret{number}.png,{int(disc)},{int(bar)},{number // 2}")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def drafted(table: Path, output: Path, base: str = "scratch", **settings: Any) -> Draft:
    return draft(Assignment(read_dataset(table), base, output, settings={"epochs": 1, "augmentation": [], **settings}))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of pictures with a disc, a bar, both or none."""
    return write_pictures(tmp_path_factory.mktemp("pictures"), 48)


def test_from_scratch_it_learns_and_runs(pictures: Path, tmp_path: Path) -> None:
    window = {"a_min": 0, "a_max": 255, "b_min": 0, "b_max": 1}
    preparation = [
        {"_target_": "Resized", "keys": "image", "spatial_size": [40, 40]},
        {"_target_": "ScaleIntensityRanged", "keys": "image", **window},
    ]
    settings = {"epochs": 20, "learning_rate": 0.01, "network_def": NETWORK, "preparation": preparation}
    trainer = drafted(pictures, tmp_path / "out", **settings).begin()
    bundle = trainer.run()
    assert trainer.course.best > 0.9
    result = run(bundle, pictures.parent / "secret0.png")
    assert isinstance(result, Classification) and result.labels == ("disc", "bar") and not result.exclusive
    told = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert told["task"].startswith("Classification of disc, bar") and "AUROC, cases: disc" in told["eval_metrics"]
    assert not any("secret" in path.read_text(encoding="utf-8") for path in (bundle / "configs").iterdir())


def test_the_plan_says_what_the_data_decided(pictures: Path, tmp_path: Path) -> None:
    training = drafted(pictures, tmp_path / "out")
    plan = training.plan
    assert plan["patch"].value == [256, 256] and plan["batch_size"].value == 8
    assert not plan["exclusive"].value and "several labels or none" in plan["exclusive"].reason
    assert training.train["network_def"]["out_channels"] == 2


def test_images_with_one_label_each_exclude_each_other(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    lines = [f"secret{n}.png,{'disc' if n % 2 == 0 else 'none'}" for n in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,labels", *lines]))
    training = drafted(tmp_path / "labels.csv", tmp_path / "out", network_def=NETWORK)
    bundle = training.begin().run()
    result = run(bundle, tmp_path / "secret0.png")
    assert isinstance(result, Classification) and result.exclusive
    assert sum(result.probabilities) == pytest.approx(1)


def test_from_a_classifier_for_colours_grey_is_repeated(tmp_path: Path) -> None:
    base = write_endoscopy_like(tmp_path / "base")
    table = write_pictures(tmp_path)
    training = drafted(table, tmp_path / "out", str(base))
    assert len(training.assignment.dataset.channels) == 3 and training.transfer
    assert training.transfer.labels == ("disc", "bar") and not training.transfer.new
    result = run(training.begin().run(), tmp_path / "secret1.png")
    assert isinstance(result, Classification) and set(result.labels) == {"disc", "bar"}


def test_labels_are_in_the_table_s_order_in_every_process(pictures: Path) -> None:
    dataset = read_dataset(pictures, {"bar": 1, "disc": 2})
    assert {case.on for case in dataset.cases} == {(), ("bar",), ("disc",), ("bar", "disc")}


def test_images_that_all_have_the_same_labels_teach_nothing(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["image,disc", *(f"secret{n}.png,1" for n in range(12))]))
    with pytest.raises(InputError, match="have the same labels"):
        drafted(table, tmp_path / "out")


def test_what_follows_can_not_be_set(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'patch' is no setting"):
        drafted(pictures, tmp_path / "out", patch=[64, 64])


def test_volumes_are_not_for_a_network_of_pictures(tmp_path: Path) -> None:
    import nibabel

    for n in range(8):
        values = np.random.default_rng(n).normal(0, 1, (12, 12, 12)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / f"{n}.nii.gz")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["image,odd", *(f"{n}.nii.gz,{n % 2}" for n in range(8))]))
    with pytest.raises(InputError, match="looks at pictures, and these are volumes"):
        drafted(table, tmp_path / "out", str(write_endoscopy_like(tmp_path / "base")))
    volumes = drafted(table, tmp_path / "out")
    assert volumes.train["network_def"]["spatial_dims"] == 3 and len(volumes.plan["patch"].value) == 3


def test_weights_of_torchvision_s_kind_are_gone_on_from(tmp_path: Path) -> None:
    training = drafted(write_pictures(tmp_path), tmp_path / "out", str(write_breast_density_like(tmp_path / "base")))
    assert len(training.assignment.dataset.channels) == 3
    assert training.begin().run().is_dir()


def test_subjects_stay_on_one_side(pictures: Path, tmp_path: Path) -> None:
    cases = drafted(pictures, tmp_path / "out").assignment.dataset.cases
    sides = {case.subject: {one.split for one in cases if one.subject == case.subject} for case in cases}
    assert len(sides) == 24 and all(len(one) == 1 for one in sides.values())


@pytest.mark.parametrize(
    ("line", "said"),
    [("gone.png,1,0,9", "gone.png: image: .*gone.png"), ("secret0.png,1,0,9", "each file once")],
)
def test_what_is_wrong_is_told(line: str, said: str, tmp_path: Path) -> None:
    table = write_pictures(tmp_path)
    table.write_text(table.read_text() + line + "\n")
    with pytest.raises(InputError, match=said):
        drafted(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_masks_are_no_labels_of_whole_images(scans: Path, pictures: Path, tmp_path: Path) -> None:
    masks = read_dataset(scans, {"stone": 1, "spleen": 2})
    with pytest.raises(InputError, match="for segmentation, and classification"):
        draft(Assignment(masks, "scratch", tmp_path / "out", task="classification"))
    with pytest.raises(InputError, match="in segmentation alone"):
        draft(
            Assignment(read_dataset(pictures), str(write_endoscopy_like(tmp_path / "b")), tmp_path / "o", keep_old=True)
        )
