"""Pictures and slices reach a network upright, whichever way they are stored, and what it saw goes back to them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.data import MetaTensor
from nibabel.orientations import apply_orientation, io_orientation
from PIL import Image

from DeepImagingLib import Options, run
from DeepImagingLib.errors import BundleError
from DeepImagingLib.files import as_image, read
from DeepImagingLib.inference.inputs import as_picture
from DeepImagingLib.inference.upright import turn_of, upright
from DeepImagingLib.results import Classification
from Testing.bundles import make_classifiers as make
from Testing.grids import AXIS_CODES, affine

SIZE = 48
PLANES = {"S": "LPS", "A": "LIA", "R": "PIR"}  # as each is shown: columns, rows, and what it is seen along
LOST = {
    "transposed": [{"_target_": "Transposed", "keys": "image", "indices": [0, 2, 1]}],
    "an array": [{"_target_": "ToNumpyd", "keys": "image"}],
    "without meta data": [{"_target_": "EnsureTyped", "keys": "image", "track_meta": False}],
}
ASKED = Options(device="cpu", heatmaps=("in body",))


def scan(code: str, slices: int = 1) -> MetaTensor:
    """Return planes of a grid that lies on the same points for each code of the same plane, (1, I, J, K)."""
    matrix = affine(code, (2.0, 2.0, 3.0), (0, 0, 0))
    shape = (SIZE, SIZE, slices)
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    x, y, z = np.tensordot(matrix[:3, :3], np.indices(shape), 1) + matrix[:3, 3].reshape(3, 1, 1, 1)
    values = 100 * np.exp(-((x - 11) ** 2 + (y + 17) ** 2 + (z - 23) ** 2) / 400) + 0.5 * x + 0.3 * y + 0.4 * z
    return as_image(values[None].astype(np.float32), matrix)


def classified(bundle: Path, image: MetaTensor) -> Classification:
    result = run(bundle, image, ASKED)
    assert isinstance(result, Classification)
    return result


def in_ras(values: np.ndarray, image: MetaTensor) -> np.ndarray:
    return np.asarray(apply_orientation(values, io_orientation(np.asarray(image.affine))))


def change(bundle: Path, *steps: dict[str, object]) -> Path:
    """Put steps behind the first two of a bundle's preprocessing, which load."""
    path = bundle / "configs" / "inference.json"
    config = json.loads(path.read_text())
    config["preprocessing"]["transforms"][2:2] = steps
    path.write_text(json.dumps(config))
    return bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make.write_endoscopy_like(tmp_path_factory.mktemp("made") / "spaced")
    spaced = {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 2.5]}
    return change(made, {"_target_": "Orientationd", "keys": "image", "axcodes": "RA"}, spaced)


@pytest.fixture(scope="module")
def as_shown(bundle: Path) -> dict[str, Classification]:
    """Return what is said of each plane as it is shown, by what it is seen along."""
    return {normal: classified(bundle, scan(code)) for normal, code in PLANES.items()}


@pytest.mark.parametrize("code", [code for code in AXIS_CODES if code[2] in PLANES])
def test_the_answer_and_the_map_are_those_of_the_picture_as_it_is_shown(
    bundle: Path, as_shown: dict[str, Classification], code: str
) -> None:
    image, shown, expected = scan(code), scan(PLANES[code[2]]), as_shown[code[2]]
    found = classified(bundle, image)
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
    (heat,), (wanted,) = found.heatmaps, expected.heatmaps
    assert np.allclose(in_ras(heat.values, image), in_ras(wanted.values, shown), atol=1e-4)


@pytest.mark.parametrize("code", ["RAS", "ASR", "AIR", "RSA", "SRA"])
def test_slices_are_turned_each(bundle: Path, code: str) -> None:
    volume, shown = scan(code, 3), scan(PLANES[code[2]], 3)
    found, expected = classified(bundle, volume), classified(bundle, shown)
    assert found.slices is not None and expected.slices is not None
    assert np.allclose(found.slices, expected.slices, atol=1e-5)
    (heat,), (wanted,) = found.heatmaps, expected.heatmaps
    assert np.allclose(in_ras(heat.values, volume), in_ras(wanted.values, shown), atol=1e-4)


def test_what_lies_nowhere_stays_as_it_is(bundle: Path) -> None:
    picture = scan("LPS").numpy()[..., 0]
    told, untold = (classified(bundle, as_image(picture, affine)) for affine in (np.diag([-1.0, -1, 1, 1]), np.eye(4)))
    assert untold.probabilities == pytest.approx(told.probabilities, abs=1e-5)


@pytest.mark.parametrize("code", AXIS_CODES)
def test_turning_back_undoes_turning(code: str) -> None:
    values = np.random.default_rng(0).random((1, 5, 4, 3))
    turn = turn_of(affine(code, (1, 2, 3), (0, 0, 0)))
    assert np.array_equal(turn.back(turn.upright(values)[0]), values[0])


def test_a_tilted_picture_keeps_its_size(bundle: Path) -> None:
    tilted = affine("LPS", (1.5, 2.5, 1.0), (0, 0, 0), (60, 0, 0))
    picture = scan("LPS").numpy()
    flat = classified(bundle, as_image(picture, np.diag([-1.5, -2.5, 1, 1])))
    assert classified(bundle, as_image(picture, tilted)).probabilities == pytest.approx(flat.probabilities, abs=1e-5)


def test_a_picture_as_converters_write_it_is_the_same(bundle: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
    Image.fromarray(rows).save(tmp_path / "a.png")
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])  # dcm2niix turns the rows round and says so
    nibabel.save(nibabel.Nifti1Image(rows.T[:, ::-1, None], affine), tmp_path / "a.nii.gz")
    png, nifti = (run(bundle, tmp_path / name, Options(device="cpu")) for name in ("a.png", "a.nii.gz"))
    assert nifti.probabilities == pytest.approx(png.probabilities, abs=1e-5)
    assert np.array_equal(upright(as_picture(read(tmp_path / "a.nii.gz"))), read(tmp_path / "a.png"))


class TestWhereAnImageLies:
    """What a step doesn't tell can't be laid over the input; the answer stands all the same."""

    @pytest.mark.parametrize("name", LOST)
    def test_a_lost_place_is_refused_for_heatmaps_alone(self, tmp_path: Path, name: str) -> None:
        made = change(make.write_endoscopy_like(tmp_path / "lost"), *LOST[name])
        assert sum(run(made, scan("LPS"), Options(device="cpu")).probabilities) == pytest.approx(1)
        with pytest.raises(BundleError, match="loses where the image lies"):
            classified(made, scan("LPS"))
