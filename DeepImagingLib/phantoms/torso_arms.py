"""Arms beside the body or raised beside the head, with their bones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DeepImagingLib.phantoms.shapes import Point
from DeepImagingLib.phantoms.torso import Material, Organ, Torso
from DeepImagingLib.phantoms.torso_bones import Bone, paint_bone
from DeepImagingLib.phantoms.torso_frame import Arms


@dataclass(frozen=True)
class Arm:
    """Where one arm lies: shoulder, mid upper arm and elbow; beside the body, mid forearm and wrist too."""

    side: int
    joints: tuple[Point, ...]


def place_arms(torso: Torso) -> tuple[Arm, Arm]:
    """Choose how the arms lie, each for itself; the right one (side 1) comes first."""
    place = _raised if torso.build.arms is Arms.UP else _lowered
    return place(torso, 1), place(torso, -1)


def _raised(torso: Torso, side: int) -> Arm:
    shoulder = (side * 152.0, -18.0, 528.0)
    elbow = (side * (137 + torso.between(0, 60)), torso.between(-25, 40), 778.0)
    return Arm(side, (shoulder, (side * 158.0, elbow[1] / 2 - 9, 653.0), elbow))


def _lowered(torso: Torso, side: int) -> Arm:
    out = max(184.0, torso.wall_half_width(300) + 1.2 * torso.fat + 46)
    forward, bend = torso.between(-25, 35), torso.between(0, 1) ** 3
    elbow = (side * (out + torso.between(0, 25)), forward * 0.5 - 18, 215.0)
    wrist = (elbow[0] - side * 100 * bend, elbow[1] + forward + 70 * bend, 215.0 - 235 * (1 - 0.3 * bend))
    middle = ((elbow[0] + wrist[0]) / 2, (elbow[1] + wrist[1]) / 2, (elbow[2] + wrist[2]) / 2)
    return Arm(side, ((side * 172.0, -14.0, 506.0), (side * (out + 4), -14.0, 370.0), elbow, middle, wrist))


def paint_arms(torso: Torso, arms: tuple[Arm, Arm]) -> None:
    """Soft tissue; the trunk is painted over it."""
    for arm in arms:
        thick, fat = torso.between(32, 44) * torso.build.muscle**0.5, 2 + 0.3 * torso.fat
        radii = np.multiply((1.25, 1.05, 0.8, 0.85, 0.55), thick)[: len(arm.joints)]
        distance = torso.tube(arm.joints, list(radii))
        torso.arms = np.minimum(torso.arms, distance - np.float32(fat))
        torso.paint(distance < fat, Material.FAT)
        torso.paint((distance < fat) & (distance > fat - 2), Material.SKIN)
        torso.paint(distance < 0, Material.MUSCLE)


def paint_arm_bones(torso: Torso, arms: tuple[Arm, Arm]) -> None:
    """Humerus with its head, radius and ulna."""
    shaft, head = Bone(Organ.OTHER_BONE, 4.0), Bone(Organ.OTHER_BONE, 1.5)
    for arm in arms:
        humerus = torso.tube(arm.joints[:3], (torso.between(11, 14), torso.between(10, 12), 13), reach=4)
        paint_bone(torso, humerus, shaft)
        paint_bone(torso, torso.ball(arm.joints[0], torso.between(21, 26)), head)
        for offset in (-10, 10) if len(arm.joints) > 3 else ():
            ends = [(p[0] + offset, p[1] + offset * 0.7, p[2]) for p in (arm.joints[2], arm.joints[4])]
            paint_bone(torso, torso.tube(ends, (7.5, 7), reach=4), shaft)
