"""A random adult's chest radiograph: the image, what is found in it, and where."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import binary_dilation, label

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.phantoms.radiograph import Beam, Points, Volume, attenuation, detect, linear
from DeepImagingLib.phantoms.shapes import Field, Mask
from DeepImagingLib.phantoms.torso import Bytes, Material, Organ
from DeepImagingLib.phantoms.xray_devices import devices, side_letter
from DeepImagingLib.phantoms.xray_display import show, shutters
from DeepImagingLib.phantoms.xray_findings import (
    LUNGS,
    OUTSIDE,
    Chest,
    Finding,
    add_consolidation,
    add_effusion,
    add_nodules,
    add_pneumothorax,
    heart_ratio,
    lung_points,
    set_heart,
)
from DeepImagingLib.phantoms.xray_trees import grow
from DeepImagingLib.results import Segment, Segmentation

if TYPE_CHECKING:
    from monai.data import MetaTensor

M = Material
Pair = tuple[float, float]
View = Literal["PA", "AP"]
Photometric = Literal["MONOCHROME1", "MONOCHROME2"]

BODY_SPACING = (3.0, 3.0, 3.0)
BODY_SIZE = (540.0, 400.0, 800.0)

AIRED = (M.LUNG, M.LUNG_VESSEL, M.GAS)
BONY = (M.CORTEX, M.MARROW, M.VERTEBRA_SHELL, M.VERTEBRA)
"""Materials whose outlines are drawn finer than voxels."""

PIXEL_MM = (0.1, 8.0)
SIDE_MM = (150.0, 600.0)

FREQUENCY = {
    # how often a finding is put in where nobody asks for certain ones
    Finding.CARDIOMEGALY: 0.3,
    Finding.EFFUSION: 0.25,
    Finding.PNEUMOTHORAX: 0.18,
    Finding.NODULE: 0.25,
    Finding.CONSOLIDATION: 0.25,
}
HEALTHY = 0.25
"""Share of radiographs without any finding, whatever the frequencies."""

LARGE_HEART = 0.5
"""From this cardiothoracic ratio on a heart counts as enlarged (Danzer, Am J Med Sci 1919)."""

SEEN_MM = {"heart": 3.0, "lung": 3.0, Finding.EFFUSION: 6.0, Finding.PNEUMOTHORAX: 4.0, Finding.CONSOLIDATION: 8.0}
"""How much of something a ray passes before its pixel counts as part of it."""

COLORS = {
    "right lung": (0.76, 0.55, 0.55),
    "left lung": (0.86, 0.68, 0.66),
    "heart": (0.81, 0.36, 0.30),
    "cardiomegaly": (0.90, 0.20, 0.20),
    "effusion": (0.20, 0.50, 0.90),
    "pneumothorax": (0.20, 0.85, 0.85),
    "nodule": (0.95, 0.80, 0.20),
    "consolidation": (0.60, 0.80, 0.30),
}


def sample(
    seed: int,
    spacing: Pair = (0.75, 0.75),
    field_of_view: Pair = (384.0, 384.0),
    *,
    findings: Collection[str] | None = None,
    view: View | None = None,
    photometric: Photometric | None = None,
) -> tuple[dict[str, MetaTensor], Segmentation]:
    """Return a radiograph: the same for the same arguments; what isn't asked for is drawn from the seed.

    The patient faces the reader: his right is at the image's left, up is up, in either view. The first axis runs to his
    left and the second downwards, and the affine is what `files.read` gives for such a picture (pixels along L and P of
    a plane that nobody has placed in the patient), with the origin of the world at the middle of the image.

    Args:
        seed: Any non-negative integer, of a body as in `torso_ct.sample`. From 1 000 000 on they are for tests.
        spacing: Pixel size in mm on the detector, along left and down; both the same.
        field_of_view: Size of the detector in mm.
        findings: Names of `Finding` to put in, where they fit; none of them where it is empty.
        view: From behind (PA, standing) or from the front (AP, sitting or lying).
        photometric: MONOCHROME2 has air dark, MONOCHROME1 is its exact negative.

    Returns:
        Images by name, here {"cxr": (1, I, J) float32, whole numbers as a file would hold them}, with "view",
        "position", "photometric" and "bits" in its meta data; and the truth: (L, I, J, 1) layers, one for each lung,
        the heart's shadow and each finding, empty where there is none. `present` lists the findings.

    Raises:
        InputError: An argument can't be used.

    Example:
        >>> images, truth = sample(7, spacing=(4, 4), findings=["effusion"])
        >>> present(truth)
        ('effusion',)
    """
    _check(seed, spacing, field_of_view)
    return expose(
        torso_ct.draw(seed, BODY_SPACING, BODY_SIZE),
        seed,
        spacing,
        field_of_view,
        findings=findings,
        view=view,
        photometric=photometric,
    )


def expose(
    body: tuple[Bytes, Bytes, Points],
    seed: int,
    spacing: Pair = (0.75, 0.75),
    field_of_view: Pair = (384.0, 384.0),
    *,
    findings: Collection[str] | None = None,
    view: View | None = None,
    photometric: Photometric | None = None,
) -> tuple[dict[str, MetaTensor], Segmentation]:
    """Return a radiograph of a body from `torso_ct.draw`: one body can be shot many times, under other seeds.

    The other arguments, the answer and errors are those of `sample`.
    """
    _check(seed, spacing, field_of_view)
    streams = [np.random.default_rng([seed, n]) for n in range(10, 16)]
    from_front, supine, negative = (streams[0].random(3) < (0.4, 0.6, 0.2)).tolist()
    from_front = from_front if view is None else view == "AP"
    negative = negative if photometric is None else photometric == "MONOCHROME1"
    chest = _chest(body, field_of_view[1], from_front and supine, streams[1])
    beam = _aim(chest, from_front, spacing[0], field_of_view, streams[2])
    wanted = _wanted(findings, streams[3])
    _put_in(chest, beam, wanted)
    integral = _integrate(chest, beam, Finding.NODULE in wanted, streams[4])
    open_ = shutters(beam, streams[5])
    measured = detect(integral, beam.pixel_mm, streams[5])
    shown = show(measured, integral > OUTSIDE, open_, beam.pixel_mm, streams[5])
    bits = int(streams[5].choice((8, 10, 12, 14)))
    stored = np.rint(shown * (2**bits - 1)).astype(np.float32)
    if negative:
        stored = 2**bits - 1 - stored
    meta = {
        "view": "AP" if from_front else "PA",
        "position": "supine" if chest.supine else "erect",
        "photometric": "MONOCHROME1" if negative else "MONOCHROME2",
        "bits": bits,
    }
    return _as_image(stored, beam, meta), _truth(chest, beam, open_)


def segments() -> tuple[Segment, ...]:
    """Return what a radiograph has truth for: the lungs, the heart's shadow and the findings, a layer each."""
    return tuple(
        Segment(id=name.replace(" ", "_"), name=name, layer=n, value=1, color=color)
        for n, (name, color) in enumerate(COLORS.items())
    )


def present(truth: Segmentation) -> tuple[str, ...]:
    """Return the names of the findings that are there."""
    return tuple(finding.value for finding in Finding if truth.mask(finding.value).any())


def cardiothoracic_ratio(truth: Segmentation) -> float:
    """Return the width of the heart's shadow as a share of the lungs' widest, both measured on the image."""
    lungs = truth.mask("right lung") | truth.mask("left lung")
    return heart_ratio(truth.mask("heart")[..., 0], lungs[..., 0])


def _chest(body: tuple[Bytes, Bytes, Points], height: float, supine: bool, rng: np.random.Generator) -> Chest:
    """Cut out what the beam will pass, without what surrounds the patient, and with lungs that hold nothing but air."""
    materials, organs, affine = body
    axes = [affine[k, 3] + affine[k, k] * np.arange(n) for k, n in enumerate(materials.shape)]
    heights = axes[2][np.isin(organs, LUNGS).any(axis=(0, 1))]
    if not len(heights):
        raise InputError("The body has no lungs in its field of view; draw it larger.")
    middle, reach = (heights[0] + heights[-1]) / 2, height / 2 + 50
    near = np.abs(axes[2] - middle) < reach
    materials, organs = materials[..., near].copy(), organs[..., near].copy()
    materials[organs == Organ.BACKGROUND] = M.AIR  # tables, mattresses, sheets, tubes that lie on the skin
    _fill_lungs(materials, organs, float(abs(np.linalg.det(affine[:3, :3]))))
    return Chest(materials, organs, Volume((axes[0], axes[1], axes[2][near])), supine, rng)


def _fill_lungs(materials: Bytes, organs: Bytes, voxel_mm3: float) -> None:
    """Heal the body's own diseases: fluid and air of 30 mL or more beside the lungs, and whatever is in them."""
    lungs = np.isin(organs, LUNGS)
    spare = np.isin(materials, (M.EFFUSION, M.GAS)) & (organs == Organ.OTHER_TISSUE)
    spare &= lungs.any(axis=(0, 1)) & ~binary_dilation(organs == Organ.HEART, iterations=4)
    pieces, _ = label(spare)
    large = np.flatnonzero(np.bincount(pieces.ravel())[1:] * voxel_mm3 > 30_000) + 1
    middle = np.nonzero(organs == Organ.SPINE)[0].mean() if (organs == Organ.SPINE).any() else len(organs) / 2
    right = (np.arange(len(organs)) > middle)[:, None, None]
    for organ, side in zip(LUNGS, (right, ~right), strict=True):
        organs[np.isin(pieces, large) & side] = organ
    materials[np.isin(organs, LUNGS)] = M.LUNG


def _aim(chest: Chest, from_front: bool, pixel_mm: float, size: Pair, rng: np.random.Generator) -> Beam:
    """Place source and detector: 1.8 m from behind, 1 to 1.8 m from the front, seldom quite straight."""
    lungs = chest.volume.points(chest.lung())
    inside = chest.volume.axes[1][(chest.materials != M.AIR).any(axis=(0, 2))]
    gap = rng.uniform(15, 60)
    distance = rng.uniform(1000, 1250) if chest.supine else rng.uniform(1200, 1850) if from_front else 1800.0
    low, high = lungs.min(axis=0), lungs.max(axis=0)
    x, z = ((low + high) / 2)[[0, 2]] + rng.normal(0, (8, 12))
    columns, rows = (max(2, round(s / pixel_mm)) for s in size)
    return Beam(
        u=((columns - 1) / 2 - np.arange(columns, dtype=np.float64)) * pixel_mm,
        v=((rows - 1) / 2 - np.arange(rows, dtype=np.float64)) * pixel_mm,
        aim=(float(x), float(z)),
        distance=float(distance),
        plate=float(inside[0] - gap if from_front else inside[-1] + gap),
        turn=float(rng.normal(0, 0.05)),
        tilt=float(rng.normal(0.15 if from_front else 0, 0.07)),
        roll=float(rng.normal(0, 0.03)),
    )


def _wanted(findings: Collection[str] | None, rng: np.random.Generator) -> set[Finding]:
    drawn = rng.random(len(Finding)) < [FREQUENCY[f] for f in Finding]
    healthy = rng.random() < HEALTHY
    if findings is None:
        return {f for f, yes in zip(Finding, drawn, strict=True) if yes and not healthy}
    known = [f.value for f in Finding]
    unknown = sorted(set(findings) - set(known))
    if unknown:
        raise InputError(f"There is no finding {unknown[0]!r} to put in; there are {', '.join(known)}.")
    return {Finding(f) for f in findings}


def _put_in(chest: Chest, beam: Beam, wanted: set[Finding]) -> None:
    """Change the body: air first, since fluid lies under it, and lung last."""
    rng = chest.rng
    large = Finding.CARDIOMEGALY in wanted
    set_heart(chest, beam, rng.uniform(0.54, 0.68) if large else rng.uniform(0.37, 0.45))
    if Finding.PNEUMOTHORAX in wanted:
        add_pneumothorax(chest, chest.a_side())
    if Finding.EFFUSION in wanted:
        for organ in LUNGS if rng.random() < 0.3 else (chest.a_side(),):
            add_effusion(chest, organ)
    if Finding.CONSOLIDATION in wanted:
        add_consolidation(chest, beam)


def _integrate(chest: Chest, beam: Beam, with_nodules: bool, rng: np.random.Generator) -> Field:
    """Return the (I, J) line integrals of attenuation through patient and devices; nodules come last, where seen."""
    kev, lung_density = rng.uniform(60, 78), rng.uniform(0.2, 0.3) + 0.08 * chest.supine
    soft, metal = linear("soft", 1.05, kev), linear("metal", 4.5, kev)
    values = attenuation(kev, lung_density)[chest.materials]
    if chest.pleura is not None:
        values[chest.pleura] = 0.35 * soft  # thinner than a voxel
    edged = [np.isin(chest.materials, AIRED), np.isin(chest.materials, BONY)]
    total = beam.integrate(values, edged, chest.volume)
    aired = soft - linear("soft", lung_density, kev)
    total += aired * _branches(chest, beam, rng)
    if not chest.supine and rng.random() < 0.45:
        total += linear("fat", 1.0, kev) * _breasts(chest, beam, rng)
    total += metal * devices(chest, beam)
    if rng.random() < 0.7:
        total += rng.uniform(1, 5) * side_letter(chest, beam)
    if with_nodules:
        total += add_nodules(chest, beam, total, aired)
    return np.maximum(total, 0)


def _breasts(chest: Chest, beam: Beam, rng: np.random.Generator) -> Field:
    """Return mm of breast as it hangs on standing: fading above, with a clear edge below, over the lungs' bases."""
    lungs = chest.volume.points(chest.lung())
    low, high = lungs.min(axis=0), lungs.max(axis=0)
    wide, deep, thick = rng.uniform(45, 75), rng.uniform(30, 60), rng.uniform(10, 45)
    z = low[2] + rng.uniform(0.15, 0.4) * (high[2] - low[2])
    total = np.zeros((len(beam.u), len(beam.v)), np.float32)
    for side in (-1, 1):
        x = (low[0] + high[0]) / 2 + side * (0.27 * (high[0] - low[0]) + rng.uniform(-5, 12))
        u, v = beam.place(np.array([(x, high[1], z + rng.uniform(-8, 8))]))
        across = ((beam.u - u) / wide)[:, None]
        along = (beam.v - v) / np.where(beam.v < v, deep, 2 * deep)
        below = np.sqrt(np.clip(1 - across**2 - along**2, 0, None))
        above = np.sqrt(np.clip(1 - across**2, 0, None)) * np.clip(1 - along**2, 0, None) ** 2
        total += thick * np.where(along < 0, below, above)
    return total


def _branches(chest: Chest, beam: Beam, rng: np.random.Generator) -> Field:
    """Return mm of soft tissue in vessels, less the air of bronchi where no other air is around them."""
    total = np.zeros((len(beam.u), len(beam.v)), np.float32)
    strength = rng.uniform(0.8, 1.25)
    for organ in LUNGS:
        for count, air in ((320, False), (240, False), (90, True)):  # arteries, veins, bronchi
            root, targets = lung_points(chest, organ, count)
            if not len(targets):
                continue
            tubes = grow(root, targets, rng)
            around = chest.volume.at(tubes.points, chest.materials)
            where = around == (M.CONSOLIDATION if air else M.LUNG)
            amount = -1.5 * tubes.volumes if air else tubes.volumes * strength
            drawn = beam.splat(tubes.points[where], amount[where], tubes.radii[where])
            total += drawn / (1 + np.abs(drawn) / 12)  # seen end on, a vessel bends away before it is a bright dot
    return total


def _truth(chest: Chest, beam: Beam, open_: Mask) -> Segmentation:
    """Project each region, and keep what lies in the open part of the image."""

    def shadow(where: Mask, at_least: float) -> Mask:
        return (beam.project(where, chest.volume) > at_least) & open_

    nowhere = np.zeros(open_.shape, bool)
    regions = dict.fromkeys(COLORS, nowhere)
    for organ in LUNGS:
        regions[torso_ct.name_of(organ)] = shadow(chest.lung(organ), SEEN_MM["lung"])
    regions["heart"] = shadow(chest.organs == Organ.HEART, SEEN_MM["heart"])
    if heart_ratio(regions["heart"], regions["right lung"] | regions["left lung"]) > LARGE_HEART:
        regions["cardiomegaly"] = regions["heart"]
    for finding, where in chest.regions.items():
        regions[finding.value] = shadow(where, SEEN_MM[finding])
    for thickness in chest.nodules:
        regions["nodule"] = regions["nodule"] | (thickness > 0) & open_
    layers = np.stack(list(regions.values())).astype(np.uint8)[..., None]
    return Segmentation(layers=layers, affine=_affine(beam), segments=segments(), exclusive=False)


def _affine(beam: Beam) -> Points:
    """Return the affine of a picture as files have it, its middle at the origin of the world."""
    affine = np.diag([-beam.pixel_mm, -beam.pixel_mm, 1.0, 1.0])
    affine[:2, 3] = [(len(a) - 1) / 2 * beam.pixel_mm for a in (beam.u, beam.v)]
    return affine


def _as_image(values: Field, beam: Beam, meta: Mapping[str, object]) -> dict[str, MetaTensor]:
    import torch
    from monai.data import MetaTensor

    return {"cxr": MetaTensor(torch.from_numpy(values[None]), affine=torch.from_numpy(_affine(beam)), meta=dict(meta))}


def _check(seed: int, spacing: Pair, field_of_view: Pair) -> None:
    if seed < 0:
        raise InputError(f"The seed must not be negative, got {seed}; take 0 or more.")
    if len(spacing) != 2 or spacing[0] != spacing[1] or not PIXEL_MM[0] <= spacing[0] <= PIXEL_MM[1]:
        low, high = PIXEL_MM
        raise InputError(f"The spacing must be two equal numbers from {low} to {high} mm, got {tuple(spacing)}.")
    if len(field_of_view) != 2 or not all(SIDE_MM[0] <= side <= SIDE_MM[1] for side in field_of_view):
        low, high = SIDE_MM
        raise InputError(
            f"The field of view must be two numbers from {low:g} to {high:g} mm, got {tuple(field_of_view)}."
        )
