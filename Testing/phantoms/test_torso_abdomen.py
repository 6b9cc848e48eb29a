"""The belly's organs: their sizes, their sides, what they lie against, and what they are filled with."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import distance_transform_edt

from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.phantoms.torso import Material, Organ, Torso
from DeepImagingLib.phantoms.torso_implants import paint_implants

SPACING = (6.0, 6.0, 6.0)
SEEDS = range(1_000_000, 1_000_008)

MILLILITRES = {
    # wide around ICRP Publication 89's reference adults, for disease and for small and large ones
    Organ.LIVER: (650, 3500),
    Organ.SPLEEN: (40, 900),
    Organ.RIGHT_KIDNEY: (8, 400),
    Organ.LEFT_KIDNEY: (8, 400),
    Organ.URINARY_BLADDER: (8, 1000),
    Organ.STOMACH: (15, 1800),
    Organ.GALLBLADDER: (1, 160),
    Organ.PANCREAS: (8, 260),
    Organ.BOWEL: (250, 4500),
}

MAY_BE_MISSING = {Organ.GALLBLADDER, Organ.SPLEEN, Organ.RIGHT_KIDNEY, Organ.LEFT_KIDNEY}

Volume = npt.NDArray[np.uint8]


@cache
def body(seed: int) -> tuple[Volume, Volume, npt.NDArray[np.float64]]:
    """Return materials, organs and affine of a body."""
    return torso_ct.draw(seed, SPACING, (520, 420, 620))


def millilitres(seed: int, organ: Organ) -> float:
    return float((body(seed)[1] == organ).sum() * np.prod(SPACING) / 1000)


def center_of(seed: int, organ: Organ) -> npt.NDArray[np.float64]:
    """Return the centre of an organ in RAS mm."""
    _, organs, affine = body(seed)
    return np.asarray(affine[:3, :3] @ np.argwhere(organs == organ).mean(axis=0) + affine[:3, 3])


def gap_between(seed: int, organ: Organ, others: npt.NDArray[np.bool_]) -> float:
    """Return the shortest distance from an organ to others in mm."""
    return float(distance_transform_edt(~others, sampling=SPACING)[body(seed)[1] == organ].min())


def with_organ(organ: Organ) -> list[int]:
    return [seed for seed in SEEDS if millilitres(seed, organ) > 0]


class TestSizes:
    @pytest.mark.parametrize("organ", MILLILITRES)
    def test_organs_have_the_size_of_an_adults(self, organ: Organ) -> None:
        low, high = MILLILITRES[organ]
        for seed in with_organ(organ):
            assert low <= millilitres(seed, organ) <= high, seed

    @pytest.mark.parametrize("organ", MILLILITRES)
    def test_organs_are_there(self, organ: Organ) -> None:
        assert len(with_organ(organ)) >= (5 if organ in MAY_BE_MISSING else len(SEEDS))


class TestPlaces:
    def test_liver_and_gallbladder_lie_right_and_spleen_and_stomach_left(self) -> None:
        for seed in SEEDS:
            assert center_of(seed, Organ.LIVER)[0] > 0 > center_of(seed, Organ.STOMACH)[0]
        assert all(center_of(seed, Organ.GALLBLADDER)[0] > 0 for seed in with_organ(Organ.GALLBLADDER))
        assert all(center_of(seed, Organ.SPLEEN)[0] < -40 for seed in with_organ(Organ.SPLEEN))

    def test_kidneys_lie_on_their_sides_and_behind_the_bowel(self) -> None:
        for organ, side in ((Organ.RIGHT_KIDNEY, 1), (Organ.LEFT_KIDNEY, -1)):
            for seed in with_organ(organ):
                assert side * center_of(seed, organ)[0] > 30
                assert center_of(seed, organ)[1] < center_of(seed, Organ.BOWEL)[1]

    def test_the_bladder_is_the_lowest(self) -> None:
        for seed in SEEDS:
            assert center_of(seed, Organ.URINARY_BLADDER)[2] < center_of(seed, Organ.PANCREAS)[2] - 100

    def test_everything_lies_inside_the_body(self) -> None:
        for seed in SEEDS:
            materials, organs, _ = body(seed)
            around = (materials == Material.AIR) | (organs == Organ.BACKGROUND)
            for organ in MILLILITRES:
                assert not around[organs == organ].any()


class TestContacts:
    def test_the_liver_lies_under_a_lung(self) -> None:
        for seed in SEEDS:
            _, organs, _ = body(seed)
            lungs = np.isin(organs, (Organ.RIGHT_LUNG, Organ.LEFT_LUNG))
            assert gap_between(seed, Organ.LIVER, lungs) <= 12

    def test_the_spleen_lies_at_the_wall(self) -> None:
        for seed in with_organ(Organ.SPLEEN):
            materials, organs, _ = body(seed)
            wall = (organs == Organ.RIBS) | (organs == Organ.OTHER_BONE) | (materials == Material.MUSCLE)
            assert gap_between(seed, Organ.SPLEEN, wall) <= 9

    def test_the_gallbladder_lies_at_the_liver(self) -> None:
        for seed in with_organ(Organ.GALLBLADDER):
            assert gap_between(seed, Organ.GALLBLADDER, body(seed)[1] == Organ.LIVER) <= 25

    def test_bowel_touches_the_liver_in_some_bodies_and_not_in_others(self) -> None:
        shares = []
        for seed in SEEDS:
            organs = body(seed)[1]
            near = distance_transform_edt(organs != Organ.LIVER, sampling=SPACING) <= 6.5
            shares.append((near & (organs == Organ.BOWEL)).sum())
        assert max(shares) > 20 and max(shares) > 3 * (min(shares) + 1)


class TestContents:
    def test_gas_floats_on_what_the_stomach_holds(self) -> None:
        floats = []
        for seed in SEEDS:
            materials, organs, _ = body(seed)
            gas = (organs == Organ.STOMACH) & (materials == Material.GAS)
            meal = np.isin(materials, (Material.FLUID, Material.FOOD, Material.STOMACH)) & (organs == Organ.STOMACH)
            if gas.sum() > 10 and meal.sum() > 10:
                floats.append(np.argwhere(gas)[:, 1].mean() > np.argwhere(meal)[:, 1].mean())
        assert len(floats) >= 2 and all(floats)

    def test_bowel_holds_many_things(self) -> None:
        found = set()
        for seed in SEEDS:
            materials, organs, _ = body(seed)
            found |= set(np.unique(materials[organs == Organ.BOWEL]))
        assert {Material.BOWEL, Material.GAS, Material.STOOL, Material.SOFT_STOOL, Material.FLUID} <= found

    def test_livers_have_vessels_that_belong_to_them(self) -> None:
        for seed in SEEDS:
            materials, organs, _ = body(seed)
            inside = materials[organs == Organ.LIVER]
            assert 0.005 < np.isin(inside, (Material.PORTAL, Material.VEIN)).mean() < 0.2


class TestSurroundings:
    def test_table_and_clothes_are_background(self) -> None:
        seen = 0
        for seed in SEEDS:
            materials, organs, _ = body(seed)
            around = np.isin(materials, (Material.TABLE, Material.CLOTH, Material.FOAM))
            assert (organs[around] == Organ.BACKGROUND).all()
            seen += bool(around.any())
        assert seen >= 5

    def test_the_table_lies_behind_the_patient(self) -> None:
        for seed in SEEDS:
            materials, organs, _ = body(seed)
            table = np.argwhere(materials == Material.TABLE)[:, 1]
            if table.size:
                assert np.median(table) < np.argwhere(organs > 0)[:, 1].mean() - 10


def test_metal_lies_inside_the_body_and_bone_stays_bone() -> None:
    torso = Torso(tuple(np.arange(-n, n, 6.0) for n in (260, 210, 310)), np.random.default_rng(5), 205.0)
    torso.organs[torso.body < 0] = Organ.FEMURS
    for _ in range(40):  # each is rare
        paint_implants(torso)
    metal = torso.is_made_of(Material.METAL)
    assert metal.sum() > 20
    assert (torso.body[metal] < 0).all() and (torso.organs[metal] == Organ.FEMURS).all()
