"""The training script keeps its promises: sides, seeds, and a bundle that runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from DeepImagingLib import run
from DeepImagingLib.phantoms import torso_ct as phantom
from DeepImagingLib.phantoms.torso import Organ
from DeepImagingLib.training import torso_ct
from DeepImagingLib.training.patches import PATCH, SPACING, draw_patch

INTENSITIES = {"a_min": -1000.0, "a_max": 600.0, "b_min": -5.0, "b_max": 3.0}


@pytest.fixture(scope="module")
def body() -> tuple[np.ndarray, np.ndarray]:
    materials, organs, _ = phantom.draw(3, SPACING, torso_ct.FIELD_OF_VIEW)
    return materials, organs


class TestPatches:
    def test_no_pose_swaps_left_and_right(self, body) -> None:
        rng = np.random.default_rng(0)
        compared = 0
        for _ in range(25):
            _, organs = draw_patch(body, INTENSITIES, rng)
            right, left = (np.argwhere(organs[0, 0].numpy() == o)[:, 0] for o in (Organ.RIGHT_LUNG, Organ.LEFT_LUNG))
            if len(right) > 200 and len(left) > 200:
                assert right.mean() > left.mean()
                compared += 1
        assert compared > 5

    def test_a_patch_is_as_the_network_sees_images(self, body) -> None:
        image, organs = draw_patch(body, INTENSITIES, np.random.default_rng(1))
        assert image.shape == organs.shape == (1, 1, *PATCH)
        assert float(image.min()) >= INTENSITIES["b_min"]
        assert float(image.max()) <= INTENSITIES["b_max"]

    def test_the_same_generator_state_gives_the_same_patch(self, body) -> None:
        first, second = (draw_patch(body, INTENSITIES, np.random.default_rng(7))[0] for _ in range(2))
        assert bool((first == second).all())


def test_seeds_kept_for_tests_are_never_trained_on(tmp_path: Path) -> None:
    words = ["--output", str(tmp_path / "bundle"), "--seed", "999990", "--phantoms", "20"]
    with pytest.raises(SystemExit):
        torso_ct.main(words)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.slow
def test_a_short_training_leaves_a_bundle_that_runs_and_tells_how_it_was_made(tmp_path: Path) -> None:
    words = ["--output", tmp_path / "bundle", "--cache", tmp_path / "cache"]
    words += ["--steps", 60, "--phantoms", 4, "--test-phantoms", 1, "--full-precision"]
    torso_ct.main([str(word) for word in words])
    metadata = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["training"][-1]["steps"] == 60
    assert all("held-out" in key for key in metadata["eval_metrics"])
    images, _ = phantom.sample(1_000_002, (8.0, 8.0, 8.0))
    assert run(tmp_path / "bundle", images["ct"]).layers.any()
