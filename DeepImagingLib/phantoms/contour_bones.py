"""Bones of contour torsos: extruded vertebrae, ribs that follow the chest's wall, pelvis, thighs and shoulders."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from DeepImagingLib.phantoms import contour_atlas as atlas
from DeepImagingLib.phantoms.contour_canvas import Canvas
from DeepImagingLib.phantoms.contour_scanner import Tissue
from DeepImagingLib.phantoms.contours import SMOOTH, Mask, Stack, Tube, push, sided
from DeepImagingLib.phantoms.torso import Organ

Points = npt.NDArray[np.float64]

TOPS = np.cumsum(atlas.VERTEBRA_HEIGHTS)
"""Heights of the upper ends of L5 to the atlas, mm."""

RIB_DROP = (42, 62, 76, 88, 98, 104, 106, 104, 96, 84, 52, 32)
RIB_END = (7, 6, 6, 6, 6, 7, 8, 11, 14, 17, 25, 31)
"""How much lower each rib ends than it starts (mm), and at which point of the cavity's contour (0 is the front)."""

STERNUM = (448, 424, 396, 370, 348, 330, 320)
"""Heights at which cartilages of the first seven ribs reach it."""


def paint_bones(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint all bones over what was painted before."""
    _paint_shoulders(canvas, rng)
    _paint_ribs(canvas, rng)
    _paint_spine(canvas, rng)
    _paint_hips(canvas, rng)
    if canvas.slices.heights[-1] > 600:
        skull = canvas.fill(atlas.SKULL)
        _paint(canvas, skull, Organ.OTHER_BONE, 5, Tissue.BRAIN)
        canvas.organs[canvas.tissues == Tissue.BRAIN] = Organ.OTHER_TISSUE


def _paint(canvas: Canvas, where: Mask, organ: Organ, shell: float, inside: Tissue = Tissue.SPONGY) -> None:
    canvas.paint(where, Tissue.CORTEX, organ)
    canvas.tissues[canvas.core(where, shell)] = inside


def _paint_shoulders(canvas: Canvas, rng: np.random.Generator) -> None:
    up = canvas.person.arms_up
    turn = np.array([0, 0, 12.0 if up else 0.0])
    for side in (1, -1):
        flat: list[Stack | Tube] = [atlas.SCAPULA.moved(turn), *(part.moved(turn) for part in atlas.GLENOID)]
        clavicle, humerus = atlas.CLAVICLE.varied(rng, 2), atlas.HUMERUS_UP if up else atlas.HUMERUS_DOWN
        _paint(canvas, canvas.fill(*sided((*flat, clavicle), side)), Organ.OTHER_BONE, 1.75)
        arms = [humerus, *(() if up else atlas.FOREARM_DOWN)]
        bones = canvas.fill(*sided(arms, side))
        _paint(canvas, bones, Organ.OTHER_BONE, 3.5, Tissue.MARROW)


def _paint_ribs(canvas: Canvas, rng: np.random.Generator) -> None:
    """Twelve pairs, their cartilage, and the sternum in front."""
    for side in (1, -1):
        for number in range(12):
            rib, cartilage = _rib(number, rng)
            gristle = canvas.fill(cartilage if side > 0 else cartilage.mirrored())
            canvas.paint(gristle, Tissue.CARTILAGE)
            if rng.random() < canvas.person.age - 0.4:
                canvas.tissues[gristle & ~canvas.core(gristle, 1.75)] = Tissue.SPONGY
            _paint(canvas, canvas.fill(rib if side > 0 else rib.mirrored()), Organ.RIBS, 1.75)
    bars = []
    for x in (-11, -4, 4, 11):
        heights = np.array([308, 330, 380, 430, 452])
        width = np.array([0.7, 1.0, 1.0, 1.6, 1.9])
        bars.append(Tube(np.array([[x * w, _front(z), z, 5.0] for z, w in zip(heights, width, strict=True)])))
    _paint(canvas, canvas.fill(*bars), Organ.OTHER_BONE, 1.75)


def _front(height: float) -> float:
    contour = atlas.CAVITY.at(height)
    return 5.0 + (0.0 if contour is None else float(contour[0, 1]))


def _rib(number: int, rng: np.random.Generator) -> tuple[Tube, Tube]:
    """Return a right rib from its vertebra around the cavity, and its cartilage to the sternum or the rib above."""
    top = float(TOPS[16 - number])
    drop = RIB_DROP[number] + rng.normal(0, 4)
    back = _spine_at(top)
    knots = [[15, back - 9, top, 4.0], [36, back - 27, top + 1, 4.0]]
    last = 5.7 * SMOOTH
    for share in np.linspace(0, 1, 9):
        height = top - 4 - drop * share**1.15
        knots.append([*_wall(height, last + share * (RIB_END[number] - last)), height, 3.5])
    end = knots[-1]
    height = STERNUM[number] if number < 7 else end[2] + (34 if number < 10 else 2)
    goal = [19, _front(height), height] if number < 7 else [*_wall(height, RIB_END[number] - 5), height]
    half = [*_wall((end[2] + height) / 2 - 6, (RIB_END[number] + 3) / 2), (end[2] + height) / 2 - 6]
    middle = half if number < 7 else [(a + b) / 2 for a, b in zip(end, goal, strict=False)]
    cartilage = Tube(np.array([[*end[:3], 4.2], [*middle[:3], 4.2], [*goal, 4.2]]), 1.4)
    return Tube(np.array(knots), 1.65), cartilage


def _wall(height: float, index: float) -> Points:
    """Return a point just outside the cavity, by its place on the contour."""
    contour = atlas.CAVITY.at(min(height, 498.0))
    if contour is None:
        raise ValueError(f"the chest has no wall at {height} mm")
    outer = push(contour, 5.5)
    return np.array([np.interp(index, np.arange(len(outer)), outer[:, k]) for k in range(2)])


def _paint_spine(canvas: Canvas, rng: np.random.Generator) -> None:
    """Bodies with dense ends and discs between, arches and processes behind the canal."""
    heights = np.arange(-4, 624, 12.0)
    back = np.array([_spine_at(float(height)) for height in heights])
    wide = np.interp(heights, [0, 180, 350, 500, 600], [26, 21.5, 15.5, 13, 11]) * rng.normal(1, 0.05)
    deep = np.interp(heights, [0, 180, 350, 500, 600], [17.5, 16, 14, 9.5, 8.5]) * rng.normal(1, 0.05)
    round_ = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    outline = np.stack(
        [np.sin(round_), np.cos(round_) - 0.28 * (np.cos(round_) < -0.5) * (np.cos(round_) + 0.5)], axis=1
    )
    points = outline * np.stack([wide, deep], axis=1)[:, None] + np.stack([0 * back, back], axis=1)[:, None]
    column = canvas.fill(Stack(heights, points, (3, 6)))
    arches = canvas.fill(*(part for k in range(23) for part in _arch(k, heights, wide, deep)))
    canal = canvas.fill(Tube(np.stack([0 * back, back - deep - 8.5, heights, 0 * back + 8.5], axis=1)))
    canvas.paint(canal, Tissue.FAT)
    canvas.paint(canvas.core(canal, 1.75), Tissue.CORD)
    _paint(canvas, arches & ~canal, Organ.SPINE, 1.75)
    disc, plate = _levels(canvas, rng)
    canvas.paint(column & disc, Tissue.DISC)
    bone = column & ~disc
    _paint(canvas, bone, Organ.SPINE, 1.75)
    edge = bone & (canvas.tissues == Tissue.CORTEX)
    canvas.tissues[edge | (bone & plate)] = Tissue.ENDPLATE
    spongy = bone & (canvas.tissues == Tissue.SPONGY)
    if canvas.person.age > 0.6:
        canvas.tissues[spongy] = Tissue.MARROW


def _spine_at(height: float) -> float:
    """Return how far in front the vertebral bodies' middle is at a height."""
    heights, front = np.array(atlas.SPINE, float).T
    return float(np.interp(height, heights, front))


def _levels(canvas: Canvas, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """Return where heights are those of discs, and of the vertebrae's dense ends; levels tilt with the spine's bend."""
    shape = canvas.person.shape
    height = np.array([shape.height_of(float(z)) for z in canvas.slices.heights])
    back, z = np.array([b for _, b in atlas.SPINE]), np.array([h for h, _ in atlas.SPINE])
    slope = np.interp(height, (z[1:] + z[:-1]) / 2, np.diff(back) / np.diff(z))
    off = canvas.slices.axis(1)[None, :] / shape.size[1] - np.interp(height, z, back)[:, None]
    level = height[:, None] + np.clip(off, -40, 30) * slope[:, None]
    edges = np.concatenate([[0], TOPS])
    number = np.clip(np.searchsorted(edges, level, side="right") - 1, 0, len(TOPS) - 1)
    left = edges[number + 1] - level
    thick = np.interp(edges[number], [0, 150, 300, 500], [11, 9, 5.5, 5]) * rng.uniform(0.6, 1.1, len(TOPS))[number]
    dense = (left < thick + 3) | (level - edges[number] < 2.5)
    return (left < thick)[:, None, :], (dense & (left >= thick))[:, None, :]


def _arch(number: int, heights: Points, wide: Points, deep: Points) -> list[Tube]:
    """Return pedicles, laminae, transverse and spinous processes of one vertebra."""
    top, tall = float(TOPS[number]), atlas.VERTEBRA_HEIGHTS[number]
    z = top - 0.5 * tall
    lumbar = number < 5
    y = _spine_at(z)
    w, d = (float(np.interp(z, heights, v)) for v in (wide, deep))
    fall = 6 if lumbar else 22 if number < 17 else 5
    tip = y - d - (46 if lumbar else 43 if number < 17 else 36)
    reach = 20 if lumbar else 22 if number < 17 else 12
    thick = 0.13 * tall
    parts = [Tube(np.array([[0, y - d - 23, z - 2, 3.6], [0, tip, z - fall, 3.4]]), 2.2 if lumbar else 1.6)]
    for side in (1, -1):
        ring = [
            [side * w * 0.72, y - d * 0.7, z + 4, thick],
            [side * 15, y - d - 10, z, thick],
            [0, y - d - 23, z - 4, thick],
        ]
        out = [[side * 15, y - d - 11, z, 4.2], [side * (w + reach), y - d - (9 if lumbar else 17), z + 3, 3.0]]
        parts += [Tube(np.array(ring), 1.6), Tube(np.array(out), 1.3)]
    return parts


def _paint_hips(canvas: Canvas, rng: np.random.Generator) -> None:
    """Sacrum and coccyx, then on each side the hip bone and, in its socket, the femur."""
    spongy = Tissue.MARROW if rng.random() < 0.25 + 0.6 * canvas.person.age else Tissue.SPONGY
    _paint(canvas, canvas.fill(atlas.SACRUM, atlas.COCCYX), Organ.SACRUM, 1.75, spongy)
    for side in (1, -1):
        hip = canvas.fill(*sided((atlas.HIP, *atlas.PUBIS, atlas.ISCHIUM), side)) & ~canvas.among(Organ.SACRUM)
        _paint(canvas, hip, Organ.HIPS, 1.75, spongy)
        head, *rest = (*atlas.FEMUR, atlas.TROCHANTER)
        ball = canvas.fill(*sided((head,), side))
        canvas.paint(canvas.around(ball, 3.5) & hip, Tissue.CARTILAGE)
        _paint(canvas, ball | canvas.fill(*sided(rest, side)), Organ.FEMURS, 1.75, spongy)
        shaft = canvas.fill(*sided(atlas.FEMUR[1:], side))
        low = canvas.slices.heights[:, None, None] < -165 * canvas.person.shape.size[2]
        canvas.tissues[shaft & low] = Tissue.CORTEX
        canvas.tissues[canvas.core(shaft, 5.25) & low] = Tissue.MARROW
