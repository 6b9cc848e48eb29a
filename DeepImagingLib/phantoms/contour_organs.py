"""The soft organs of contour torsos, each with what it pushes aside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from DeepImagingLib.phantoms import contour_atlas as atlas
from DeepImagingLib.phantoms.contour_canvas import Canvas, Person
from DeepImagingLib.phantoms.contour_scanner import Tissue
from DeepImagingLib.phantoms.contours import PIXEL_MM, Mask, Stack, Tube, sided, tube
from DeepImagingLib.phantoms.torso import Organ

Part = Stack | Tube


def _arms(person: Person) -> tuple[Tube, Tube]:
    arm = (atlas.ARMS_UP if person.arms_up else atlas.ARMS_DOWN).scaled(0.88 + person.fat / 150)
    return arm, arm.mirrored()


def _under_skin(person: Person, part: Stack, rest: float) -> Stack:
    """Return a trunk's contours with fat: most on belly and hips, little on the neck."""
    angle = np.arange(part.points.shape[1]) / part.points.shape[1] * 2 * np.pi
    front = 0.75 + 0.25 * np.cos(angle) + 0.35 * np.sin(angle) ** 2
    level = np.interp(part.heights, [-300, -30, 60, 200, 330, 450, 520], [1.3, 1.25, 1.1, 0.85, 0.6, 0.4, 0.25])
    return part.grown(rest + person.fat * level[:, None] * front)


def paint_flesh(canvas: Canvas, rng: np.random.Generator) -> Mask:
    """Skin, fat and a layer of muscles with seams of fat; return all that is body."""
    person = canvas.person
    arms = _arms(person)
    outer: list[Part] = [_under_skin(person, part, 2) for part in (atlas.TRUNK, atlas.THIGH, atlas.THIGH.mirrored())]
    inner: list[Part] = [part.grown(-6) for part in (atlas.TRUNK, atlas.THIGH, atlas.THIGH.mirrored())]
    if person.female:
        outer += [_breast(person, side, rng) for side in (1, -1)]
    body = canvas.fill(*outer, *arms)
    canvas.paint(body, Tissue.SKIN)
    canvas.paint(canvas.core(body, PIXEL_MM), Tissue.FAT)
    lean = 0.86 - person.fat / 200
    muscle = canvas.fill(*inner, *(arm.scaled(lean) for arm in arms)) & body
    canvas.paint(muscle, Tissue.MUSCLE)
    wide = 0.3 + person.fat / 14 + 1.5 * person.age
    seams = [seam.varied(rng, 0.03, 4, 4).grown(wide) for part in atlas.SEAMS for seam in (part, part.mirrored())]
    canvas.paint(canvas.fill(*seams) & muscle, Tissue.FAT)
    return body


def _breast(person: Person, side: int, rng: np.random.Generator) -> Tube:
    size = 36 + person.fat * 0.9 + rng.normal(0, 5)
    knots = [
        [side * 75, 70, 400, size * 0.7],
        [side * 80, 68 + size * 0.15, 365, size],
        [side * 85, 70, 340, size * 0.8],
    ]
    return Tube(np.array(knots))


def paint_chest(canvas: Canvas, cavity: Mask, rng: np.random.Generator) -> None:
    """The belly's fat; above, all the room left and right of the mediastinum is lung, with its vessels."""
    canvas.paint(cavity, Tissue.FAT)
    lungs = cavity & (canvas.slices.heights > _base(canvas.person))[:, None, None]
    lungs &= ~canvas.fill(atlas.MEDIASTINUM.varied(rng, 0.05, 2, 2))
    right = canvas.slices.right_half()
    canvas.paint(lungs & right, Tissue.LUNG, Organ.RIGHT_LUNG)
    canvas.paint(lungs & ~right, Tissue.LUNG, Organ.LEFT_LUNG)
    vessels = canvas.fill(*(branch for side in (1, -1) for branch in _lung_vessels(side, rng))) & lungs
    canvas.tissues[vessels] = Tissue.RIGHT_BLOOD


def _base(person: Person) -> float:
    """Return the height below which no lung reaches."""
    return (188 + person.breath) * person.shape.size[2]


def _lung_vessels(side: int, rng: np.random.Generator) -> list[Tube]:
    """Branches that taper from a hilum to all sides, each with two twigs."""
    found = []
    for _ in range(38):
        start = np.array([side * 46, -24, 375]) + rng.normal(0, 7, 3)
        end = np.array([side * rng.uniform(50, 135), rng.uniform(-95, 65), rng.uniform(200, 490)])
        bend = start * 0.55 + end * 0.45 + rng.normal(0, 9, 3)
        found.append(Tube(np.array([[*start, 5.5], [*bend, rng.uniform(2.2, 3.2)], [*end, 0.8]])))
        twigs = bend + rng.normal(0, 38, (2, 3))
        found += [Tube(np.array([[*bend, 2.0], [*twig, 0.6]])) for twig in twigs]
    return found


def paint_diaphragm(canvas: Canvas, cavity: Mask, rng: np.random.Generator) -> Mask:
    """Two domes of muscle that push lungs aside; return what lies below."""
    up = np.array([0, 0, canvas.person.breath])
    right = atlas.DOME.varied(rng, 0.02, 2, 2).moved(up)
    left = atlas.DOME.mirrored(-8).varied(rng, 0.02, 2, 2).moved(up)
    domes = canvas.fill(right, left) & cavity
    canvas.paint(domes, Tissue.MUSCLE)
    inside = canvas.fill(right.grown(-2), left.grown(-2)) & cavity
    inside[canvas.slices.heights <= _base(canvas.person)] = True
    inside &= cavity
    canvas.paint(inside, Tissue.FAT)
    return inside


def paint_heart(canvas: Canvas, rng: np.random.Generator) -> None:
    """Muscle around four chambers, in a sac of fat."""
    move = np.array([0, 0, 0.6 * canvas.person.breath])
    heart = atlas.HEART.varied(rng, 0.06, 3, 5)
    canvas.paint(canvas.fill(heart.grown(rng.uniform(2, 8)).moved(move)), Tissue.FAT)
    muscle = canvas.fill(heart.moved(move))
    canvas.paint(muscle, Tissue.MYOCARDIUM, Organ.HEART)
    deep = canvas.core(muscle, 3.5)
    for chamber, blood in (
        (atlas.RIGHT_ATRIUM, Tissue.RIGHT_BLOOD),
        (atlas.RIGHT_VENTRICLE, Tissue.RIGHT_BLOOD),
        (atlas.OUTFLOW, Tissue.RIGHT_BLOOD),
        (atlas.LEFT_ATRIUM, Tissue.LEFT_BLOOD),
        (atlas.LEFT_VENTRICLE, Tissue.LEFT_BLOOD),
    ):
        canvas.paint(canvas.fill(chamber.varied(rng, 2).moved(move)) & deep, blood, Organ.HEART)


def paint_mediastinum(canvas: Canvas, cavity: Mask, rng: np.random.Generator) -> None:
    """Vessels between heart and lungs, windpipe, gullet and thyroid."""
    move = np.array([0, 0, 0.4 * canvas.person.breath])
    free = ~canvas.among(Organ.HEART)
    pulmonary = canvas.fill(*(v.varied(rng, 1.5).moved(move) for v in atlas.PULMONARY_VEINS)) & free
    canvas.paint(pulmonary, Tissue.LEFT_BLOOD, Organ.PULMONARY_VESSELS)
    trunk = canvas.fill(*(a.varied(rng, 1.5).moved(move) for a in atlas.PULMONARY_ARTERY)) & free
    canvas.paint(trunk, Tissue.RIGHT_BLOOD, Organ.PULMONARY_VESSELS)
    lower, *upper = atlas.VENA_CAVA
    canvas.paint(canvas.fill(*upper) & free, Tissue.UPPER_CAVA, Organ.VENA_CAVA)
    canvas.paint(canvas.fill(atlas.OESOPHAGUS.varied(rng, 1.5)) & free, Tissue.WALL)
    canvas.paint(canvas.fill(lower.varied(rng, 1, 0.15)) & free, Tissue.CAVA, Organ.VENA_CAVA)
    _paint_aorta(canvas, rng)
    airways = canvas.fill(*atlas.AIRWAYS)
    wall = canvas.around(airways, PIXEL_MM) & ~canvas.among(Organ.AORTA, Organ.PULMONARY_VESSELS, Organ.VENA_CAVA)
    canvas.paint(wall & ~canvas.among(Organ.RIGHT_LUNG, Organ.LEFT_LUNG), Tissue.WALL)
    canvas.paint(airways & ~canvas.among(Organ.AORTA, Organ.HEART), Tissue.GAS, Organ.AIRWAYS)


def _paint_aorta(canvas: Canvas, rng: np.random.Generator) -> None:
    """Wider with age, with chalk in its wall; the arteries that leave it are not aorta."""
    vessel = atlas.AORTA.varied(rng, 1.2, 0.05).scaled(0.92 + 0.25 * canvas.person.age)
    inside = canvas.fill(vessel)
    canvas.paint(
        canvas.fill(*(v.varied(rng, 2) for side in (1, -1) for v in sided(atlas.ILIAC[:1], side))), Tissue.AORTA
    )
    canvas.paint(
        canvas.fill(*(v.varied(rng, 2) for side in (1, -1) for v in sided(atlas.ILIAC[1:], side))), Tissue.CAVA
    )
    neck = [
        "10,10,425,6 25,5,460,6 22,-2,500,5 25,-5,560,4",
        "-8,-5,432,5 -18,0,465,4 -25,-5,560,4",
        "-16,-20,436,5 -30,-20,480,5",
    ]
    canvas.paint(canvas.fill(*(tube(v) for v in neck)), Tissue.AORTA)
    canvas.paint(inside, Tissue.AORTA, Organ.AORTA)
    plaques = np.flatnonzero(rng.random(14) < canvas.person.age - 0.3)
    balls = vessel.balls()
    for plaque in plaques:
        x, y, z, radius = balls[int((plaque + 0.5) / 14 * len(balls))]
        angle = rng.uniform(0, 2 * np.pi)
        spot = [x + radius * np.cos(angle), y + radius * np.sin(angle), z, rng.uniform(1.5, 3.5)]
        canvas.tissues[canvas.fill(Tube(np.array([spot, [*spot[:2], z + rng.uniform(2, 9), 1.5]]))) & inside] = (
            Tissue.CALCIUM
        )


def paint_belly(canvas: Canvas, room: Mask, rng: np.random.Generator) -> None:
    """From back to front: muscles, kidneys, vessels, glands, then bowel, stomach, spleen and liver."""
    move = np.array([0, 0, 0.8 * canvas.person.breath])
    fill = canvas.fill
    canvas.paint(fill(*(p.varied(rng, 2, 0.12) for side in (1, -1) for p in sided([atlas.PSOAS], side))), Tissue.MUSCLE)
    room = room & ~canvas.among(Organ.AORTA, Organ.VENA_CAVA, Organ.HEART)
    _paint_bowel(canvas, room, rng)
    _paint_stomach(canvas, room, move, rng)
    pancreas = fill(atlas.PANCREAS.varied(rng, 3, 0.15).moved(0.5 * move)) & room
    canvas.paint(canvas.around(pancreas, 3) & room & ~canvas.among(Organ.STOMACH), Tissue.FAT)
    canvas.paint(pancreas, Tissue.PANCREAS, Organ.PANCREAS)
    _paint_kidneys(canvas, room, 0.5 * move, rng)
    spleen = fill(atlas.SPLEEN.varied(rng, 0.12, 4, 6).moved(move)) & canvas.core(room, PIXEL_MM)
    canvas.paint(spleen & ~canvas.among(Organ.LEFT_KIDNEY), Tissue.SPLEEN, Organ.SPLEEN)
    _paint_liver(canvas, room & ~canvas.among(Organ.SPLEEN, Organ.RIGHT_KIDNEY), move, rng)


def _paint_bowel(canvas: Canvas, room: Mask, rng: np.random.Generator) -> None:
    """Coils in the middle, the duodenum, and around them a colon whose pieces hold gas, stool or fluid."""
    _paint_mesentery(canvas, room, rng)
    coils = [
        Tube(coil.knots[first : first + 4]) for coil in (_coil(rng) for _ in range(4)) for first in range(0, 22, 3)
    ]
    filling = rng.uniform(0.2, 0.9)
    for piece in (*coils, atlas.DUODENUM.varied(rng, 3, 0.15)):
        _paint_gut(canvas, canvas.fill(piece) & room, Tissue.CHYME if rng.random() < filling else Tissue.FLUID)
    knots = atlas.COLON.varied(rng, 5, 0.12).knots
    for first in range(0, len(knots) - 2, 3):
        piece = _haustra(Tube(knots[first : first + 4]), rng)
        where = canvas.fill(piece) & room
        canvas.paint(canvas.around(where, 3) & room & canvas.among(Organ.BOWEL), Tissue.FAT)
        holds = rng.choice([Tissue.STOOL, Tissue.CHYME, Tissue.FLUID], p=[0.6, 0.3, 0.1])
        _paint_gut(canvas, where, Tissue(holds), gas_above=piece.knots[:, 1].mean() + rng.normal(4, 10))


def _paint_mesentery(canvas: Canvas, room: Mask, rng: np.random.Generator) -> None:
    """Arteries and veins that fan out from the aorta's front into the belly's fat."""
    ends = rng.uniform((-75, 20, -40), (80, 75, 130), (24, 3))
    root = rng.normal((5, 12, 120), (4, 3, 25), (24, 3))
    fan = [
        Tube(np.array([[*r, 3.0], [*(r + e) / 2 + rng.normal(0, 8, 3), 2.2], [*e, 1.2]]))
        for r, e in zip(root, ends, strict=True)
    ]
    canvas.paint(canvas.fill(*fan[::2]) & room, Tissue.PORTAL)
    canvas.paint(canvas.fill(*fan[1::2]) & room, Tissue.AORTA)


def _coil(rng: np.random.Generator) -> Tube:
    """A walk to and fro through the middle of the belly."""
    count = 26
    across = 60 * np.sin(np.arange(count) * rng.uniform(1.2, 2.2) + rng.uniform(0, 6))
    front = rng.uniform(5, 75, count)
    height = np.linspace(185, -55, count) + rng.normal(0, 14, count)
    left = np.interp(height, [80, 160], [10, 55])
    return Tube(np.column_stack([across - left, front, height, rng.uniform(7, 12, count)]))


def _haustra(part: Tube, rng: np.random.Generator) -> Tube:
    """Return a tube that swells and narrows every 3 cm."""
    balls = part.balls()[::2]
    steps = np.linalg.norm(np.diff(balls[:, :3], axis=0, prepend=balls[:1, :3]), axis=1).cumsum()
    swell = 1 + 0.16 * np.sin(2 * np.pi * steps / 30 + rng.uniform(0, 6))
    return Tube(np.column_stack([balls[:, :3], balls[:, 3] * swell]))


def _paint_gut(canvas: Canvas, where: Mask, holds: Tissue, gas_above: float = np.inf) -> None:
    """A wall, what it holds, and gas that floats on it."""
    canvas.paint(where, Tissue.WALL, Organ.BOWEL)
    inside = canvas.core(where, 2.0)
    canvas.tissues[inside] = holds
    canvas.tissues[inside & (canvas.slices.axis(1) > gas_above * canvas.person.shape.size[1])] = Tissue.GAS


def _paint_stomach(canvas: Canvas, room: Mask, move: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    bag = atlas.STOMACH.varied(rng, 4, 0.05).scaled(rng.uniform(0.6, 1.1)).moved(move)
    where = canvas.fill(bag) & canvas.core(room, PIXEL_MM)
    canvas.paint(canvas.around(where, 2) & room & canvas.among(Organ.BOWEL), Tissue.FAT)
    canvas.paint(where, Tissue.WALL, Organ.STOMACH)
    inside = canvas.core(where, 3.5)
    canvas.tissues[inside] = rng.choice([Tissue.FLUID, Tissue.CHYME])
    canvas.tissues[inside & (canvas.slices.axis(1) > rng.uniform(15, 70))] = Tissue.GAS


def _paint_kidneys(canvas: Canvas, room: Mask, move: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    """Cortex around medulla around a sinus of fat, in a capsule of fat; a vein from each to the cava."""
    for kidney, organ in ((atlas.KIDNEY, Organ.RIGHT_KIDNEY), (atlas.KIDNEY.mirrored(10), Organ.LEFT_KIDNEY)):
        bean = kidney.grown(-1.2).varied(rng, 0.05, 4, 8).moved(move)
        where = canvas.fill(bean) & room
        capsule = canvas.around(where, rng.uniform(3, 12))
        canvas.paint(capsule & room & canvas.among(Organ.BOWEL, Organ.PANCREAS, Organ.STOMACH), Tissue.FAT)
        canvas.paint(where, Tissue.RENAL_CORTEX, organ)
        canvas.tissues[canvas.core(where, 6)] = Tissue.MEDULLA
        middle = bean.points.mean(axis=(0, 1))
        level, side = bean.heights.mean(), np.sign(middle[0])
        sinus = Tube(np.array([[middle[0] - side * 17, middle[1] + 6, level, 8], [*middle, level, 5]]), 2.2)
        canvas.paint(canvas.fill(sinus) & where, Tissue.FAT)
        vein = Tube(np.array([[20, 0, 150, 5], [middle[0] * 0.6, -14, level, 4.5], [*middle, level, 3]]))
        free = ~canvas.among(Organ.AORTA, Organ.VENA_CAVA) & ~(where & (canvas.tissues != Tissue.FAT))
        canvas.paint(canvas.fill(vein) & room & free, Tissue.HEPATIC)


def _paint_liver(canvas: Canvas, room: Mask, move: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    """What its contours take of the room under the dome, its vessels, and the gallbladder in its bed."""
    shape = atlas.LIVER.varied(rng, 0.045, 3, 3)
    liver = canvas.fill(shape.moved(move)) & room
    canvas.paint(canvas.around(liver, rng.choice([0, 2, 4])) & room & canvas.among(Organ.BOWEL), Tissue.FAT)
    canvas.paint(liver, Tissue.LIVER, Organ.LIVER)
    for parts, tissue in ((atlas.HEPATIC_VEINS, Tissue.HEPATIC), (atlas.PORTAL_VEIN, Tissue.PORTAL)):
        vessels = canvas.fill(*(v.varied(rng, 2.5).moved(move) for v in parts)) & room
        canvas.tissues[vessels & (liver | (canvas.organs == Organ.OTHER_TISSUE))] = tissue
    bag = canvas.fill(atlas.GALLBLADDER.varied(rng, 3, 0.05).scaled(rng.uniform(0.6, 1.25)).moved(move)) & room
    if rng.random() < 0.88:
        canvas.paint(bag & ~canvas.among(Organ.AORTA), Tissue.BILE, Organ.GALLBLADDER)


def paint_pelvis(canvas: Canvas, cavity: Mask, rng: np.random.Generator) -> None:
    """The bladder on a prostate or before a uterus."""
    bones = (Organ.HIPS, Organ.SACRUM, Organ.SPINE, Organ.FEMURS)
    free = ~canvas.among(*bones)
    gland = atlas.UTERUS if canvas.person.female else atlas.PROSTATE
    canvas.paint(canvas.fill(gland.varied(rng, 2, 0.2)) & free, Tissue.GLAND)
    full = float(rng.uniform(0.62, 1.3))
    level = atlas.BLADDER.heights[0]
    points = (atlas.BLADDER.points - (0, 30)) * (full, full) + (0, 30)
    heights = level + (atlas.BLADDER.heights - level) * full
    bladder = replace(atlas.BLADDER, points=points, heights=heights).varied(rng, 0.06, 3, 3)
    where = canvas.fill(bladder) & free
    canvas.paint(canvas.around(where, 2) & free & canvas.among(Organ.BOWEL), Tissue.FAT)
    canvas.paint(where, Tissue.WALL, Organ.URINARY_BLADDER)
    canvas.tissues[canvas.core(where, 3)] = Tissue.URINE
