"""What isn't the patient: tubes, wires, a pacemaker, stitches and the letter that tells left from right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import make_interp_spline

from DeepImagingLib.phantoms.radiograph import Beam, Points
from DeepImagingLib.phantoms.shapes import Field
from DeepImagingLib.phantoms.torso import Organ
from DeepImagingLib.phantoms.xray_findings import Chest


def devices(chest: Chest, beam: Beam) -> Field:
    """Return the (I, J) thickness in mm of metal on and in the patient; more on those who lie."""
    often = 0.45 if chest.supine else 0.08
    rates = (
        (_electrodes, often),
        (_central_line, often),
        (_stomach_tube, often * 0.5),
        (_windpipe_tube, often * 0.5),
        (_pacemaker, 0.07),
        (_stitches, 0.07),
    )
    total = np.zeros((len(beam.u), len(beam.v)), np.float32)
    for draw, rate in rates:
        if chest.rng.random() < rate:
            total += draw(chest, beam)
    return total


def _wire(beam: Beam, through: Sequence[Sequence[float]], radius: float, strength: float = 1.0) -> Field:
    """Return a smooth wire's thickness; `strength` is how much of it is metal."""
    stops = np.array(through, float)
    spline = make_interp_spline(np.linspace(0, 1, len(stops)), stops, k=min(3, len(stops) - 1))
    points: Points = spline(np.linspace(0, 1, 1500))
    lengths = np.linalg.norm(np.diff(points, axis=0, append=points[-1:]), axis=1)
    return beam.splat(points, np.pi * radius**2 * lengths * strength, np.full(len(points), radius))


def _landmarks(chest: Chest) -> tuple[float, float, float, float, float]:
    """Return the middle x, front y of the skin, tips' z of the lungs, and the heart's x and z, in mm."""
    lungs = chest.volume.points(chest.lung())
    heart = chest.volume.points(chest.organs == Organ.HEART)
    front = float(chest.volume.points(chest.organs == Organ.OTHER_TISSUE)[:, 1].max())
    x, _, z = heart.mean(axis=0) if len(heart) else lungs.mean(axis=0)
    spine = chest.volume.points((chest.organs == Organ.SPINE) & (chest.volume.axes[2] > lungs[:, 2].mean()))
    middle = float((spine if len(spine) else lungs)[:, 0].mean())
    return middle, front, float(lungs[:, 2].max()), float(x), float(z)


def _electrodes(chest: Chest, beam: Beam) -> Field:
    """Stickers with a snap, and their leads."""
    middle, front, top, _, heart = _landmarks(chest)
    total = np.zeros((len(beam.u), len(beam.v)), np.float32)
    out = chest.rng.choice((-1, 1))
    for side, height in ((1, top - 30), (-1, top - 30), (-1, heart - 60), (1, heart - 60))[: chest.rng.integers(3, 5)]:
        x, y, z = middle + side * chest.between(80, 130), front, height + chest.between(-40, 40)
        total += _disc(beam, (x, y, z), 4, 1.5) + _disc(beam, (x, y, z), chest.between(8, 13), 0.08)
        bends = [(x + out * chest.between(20, 60) * n, y, z - chest.between(0, 70) * n) for n in (1, 2)]
        end = (middle + out * 330, y, heart - chest.between(0, 150))
        total += _wire(beam, ((x, y, z), *bends, end), 0.8, 0.5)
    return total


def _disc(beam: Beam, center: Sequence[float], radius: float, thickness: float) -> Field:
    u, v = (float(p[0]) for p in beam.place(np.array([center], float)))
    apart = np.hypot(beam.u[:, None] - u, beam.v[None, :] - v)
    return np.asarray(thickness * np.clip((radius - apart) / beam.pixel_mm + 0.5, 0, 1), np.float32)


def _central_line(chest: Chest, beam: Beam) -> Field:
    """From the neck or under a collar bone into the upper vena cava."""
    middle, _, top, _, heart = _landmarks(chest)
    side = chest.rng.choice((-1, 1))
    cava = middle + chest.between(18, 28)
    start = (middle + side * chest.between(30, 110), 10, top + chest.between(0, 60))
    path = (start, (middle + side * 25, 5, top - 15), (cava, 0, top - 60), (cava, 5, heart + chest.between(20, 60)))
    return _wire(beam, path, 1.1, 0.25)


def _stomach_tube(chest: Chest, beam: Beam) -> Field:
    middle, _, top, _, heart = _landmarks(chest)
    down = [(middle + chest.between(-6, 6), -20, z) for z in np.linspace(top + 90, heart - 40, 5)]
    return _wire(beam, (*down, (middle - 40, 10, heart - 95), (middle - 70, 30, heart - 150)), 1.8, 0.15)


def _windpipe_tube(chest: Chest, beam: Beam) -> Field:
    """Two faint walls and a stripe."""
    middle, _, top, _, _ = _landmarks(chest)
    bottom, lean = top - chest.between(40, 75), chest.between(-5, 5)
    walls = ((-4.5, 0.08), (4.5, 0.08), (1, 0.3))
    return sum(
        (
            _wire(beam, ((middle + dx + lean, 0, top + 110), (middle + dx, -10, bottom)), 0.6, strength)
            for dx, strength in walls
        ),
        np.zeros((len(beam.u), len(beam.v)), np.float32),
    )


def _pacemaker(chest: Chest, beam: Beam) -> Field:
    """A can under a collar bone, most often the left one, and a lead to the right ventricle."""
    middle, front, top, heart_x, heart_z = _landmarks(chest)
    side = -1 if chest.rng.random() < 0.8 else 1
    x, y, z = middle + side * chest.between(75, 100), front - 15, top - chest.between(15, 50)
    u, v = (float(p[0]) for p in beam.place(np.array([(x, y, z)])))
    across, along = (beam.u[:, None] - u) / chest.between(20, 27), (beam.v[None, :] - v) / chest.between(18, 25)
    can = np.clip((1 - (across**4 + along**4)) * 8, 0, 1) * (2 + 2 * (along < 0.4))
    cava = middle + 22
    lead = ((x, y, z + 20), (middle + side * 40, 20, top - 10), (cava, 0, top - 50), (cava, 5, heart_z + 20))
    tip = ((cava - 15, 20, heart_z - 25), (heart_x - 15, 30, heart_z - chest.between(25, 40)))
    return can.astype(np.float32) + _wire(beam, (*lead, *tip), 0.9, 0.9)


def _stitches(chest: Chest, beam: Beam) -> Field:
    """Steel loops that hold a sawn sternum."""
    middle, front, top, _, heart = _landmarks(chest)
    total = np.zeros((len(beam.u), len(beam.v)), np.float32)
    for z in np.linspace(top - 45, heart - 20, int(chest.rng.integers(5, 8))):
        angle = np.linspace(0.3, 6.1, 9)
        z += chest.between(-4, 4)
        wide, high = chest.between(5, 8), chest.between(3, 6)
        loop = [(middle + wide * np.sin(a), front - 25, z + high * np.cos(a)) for a in angle]
        total += _wire(beam, loop, 0.6, 1)
    return total


def side_letter(chest: Chest, beam: Beam) -> Field:
    """Return the (I, J) mask, 0 to 1, of an L or an R at the upper edge of the patient's left or right."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    right = chest.rng.random() < 0.4
    weight = "bold" if chest.rng.random() < 0.5 else "normal"
    path = TextPath((0, 0), "R" if right else "L", size=chest.between(14, 30), prop=FontProperties(weight=weight))
    u = (0.80 + chest.between(0, 0.08)) * beam.u[0] * (1 if right else -1)
    v = chest.between(0.2, 0.8) * beam.v[0]
    grid = np.stack(np.meshgrid(u - beam.u, beam.v - v, indexing="ij"), axis=-1)  # u runs against the reading direction
    inside = path.contains_points(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    return inside.astype(np.float32)
