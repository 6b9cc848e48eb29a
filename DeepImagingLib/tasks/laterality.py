"""Do organs lie on the side that the header says? A flipped header is silent, and a side decides operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.tasks.terminology import SIDES, look_up

# What lies right of what in almost everybody, by SNOMED CT type code, and the mL from which an organ counts as seen.
LIVER, HEART, SPLEEN, STOMACH = "10200004", "80891009", "78961009", "69695003"
LEFT_OF_LIVER = (HEART, SPLEEN, STOMACH)
LUNG = "39607008"
MIDDLE = ("272673000", "51282000", "56873002", "2748008", "421060004")  # bone, vertebra, sternum, spinal cord, spine
LEAST_ML = {LIVER: 200.0, HEART: 100.0, LUNG: 300.0}
LEAST_ML_OF_OTHERS = 30.0
APART_MM = 20.0  # between centroids; closer together they tell nothing
LEFT_OF_MIDDLE_MM = 5.0  # hearts lie 13 to 45 mm left of the bones' centroid in our phantoms and chest CT
STEP_MM = 4.0  # centroids need no finer grid


@dataclass(frozen=True)
class _Organ:
    name: str
    code: str
    side: str  # "left", "right" or ""
    milliliters: float
    x: float  # mm, growing to the patient's right


def laterality_warning(result: Segmentation) -> str:
    """Return one sentence where organs lie on the side that the header denies, else "".

    Liver against heart, spleen and stomach, and structures that are found on both sides ("left kidney", "right
    kidney") against each other, by their centroids along the patient's left-right axis; of each of the two kinds the
    majority tells. Organs that are cut off or close together don't count. A network that has learned where organs are
    may name them by their place in a mirrored scan too; then a heart that isn't left of the middle, and a left lung
    larger than the right one, still tell. Nothing is corrected: who is right, the header or a patient with organs on
    the other side, can't be told from here.
    """
    organs = list(_organs(result))
    told = [*_wrong(list(_unlike(organs))), *_wrong(list(_twins(organs)))] or _mirrored_chest(organs)
    if not told:
        return ""
    return (
        f"Organs lie on the other side than expected ({', '.join(told)}): the header, or the anatomy (situs inversus), "
        "may be mirrored; check which side is which before you use this result."
    )


def _wrong(pairs: list[tuple[_Organ, _Organ]]) -> list[str]:
    """Name the pairs, the one that belongs on the right first, that lie the other way round, where most do."""
    wrong = [f"{right.name} left of {left.name}" for right, left in pairs if right.x < left.x]
    return wrong if len(wrong) > len(pairs) / 2 else []


def _mirrored_chest(organs: list[_Organ]) -> list[str]:
    hearts = [o.x for o in organs if o.code == HEART]
    middle = [o.x for o in organs if o.code in MIDDLE]
    lungs = {o.side: o.milliliters for o in organs if o.code == LUNG}
    if not hearts or not middle or not lungs.keys() >= set(SIDES) or lungs["left"] <= lungs["right"]:
        return []
    far = float(np.mean(hearts) - np.mean(middle)) > -LEFT_OF_MIDDLE_MM
    return ["the heart is not left of the middle", "the left lung is larger than the right"] if far else []


def _unlike(organs: list[_Organ]) -> Iterator[tuple[_Organ, _Organ]]:
    """Yield the liver with each organ that should lie left of it."""
    livers = [o for o in organs if o.code == LIVER]
    others = [o for o in organs if o.code in LEFT_OF_LIVER]
    return ((liver, other) for liver, other in product(livers, others) if abs(liver.x - other.x) >= APART_MM)


def _twins(organs: list[_Organ]) -> Iterator[tuple[_Organ, _Organ]]:
    """Yield the right with the left one of each kind of organ."""
    rights = [o for o in organs if o.side == "right"]
    lefts = [o for o in organs if o.side == "left"]
    return ((r, le) for r, le in product(rights, lefts) if r.code == le.code and abs(r.x - le.x) >= APART_MM)


def _organs(result: Segmentation) -> Iterator[_Organ]:
    """Yield what is large enough of all that has a code."""
    places = [_places(result, layer) for layer in range(len(result.layers))]
    for segment in result.segments:
        code, side = _code(segment)
        milliliters, x = places[segment.layer].get(segment.value, (0.0, 0.0))
        if code and milliliters >= LEAST_ML.get(code, LEAST_ML_OF_OTHERS):
            yield _Organ(segment.name, code, side, milliliters, x)


def _code(segment: Segment) -> tuple[str, str]:
    """Return the type code and the side of a segment, "" for what is unknown."""
    terminology = segment.terminology or look_up(segment.name)[0]
    if terminology is None:
        return "", ""
    side = next((name for name, code in SIDES.items() if code == terminology.modifier), "")
    return terminology.type.value, side


def _places(result: Segmentation, layer: int) -> Mapping[int, tuple[float, float]]:
    """Return value → mL and RAS x in mm of its centroid, by every few voxels, so that a large scan takes no time."""
    spacing = np.linalg.norm(result.affine[:3, :3], axis=0)
    steps = [max(1, int(STEP_MM / mm)) for mm in spacing]
    labels = result.layers[layer][tuple(slice(None, None, step) for step in steps)]
    i, j, k = (np.arange(n) * step for n, step in zip(labels.shape, steps, strict=True))
    a, b, c, origin = result.affine[0]
    x = (a * i)[:, None, None] + (b * j)[:, None] + c * k + origin
    inside = labels > 0
    counts, sums = np.bincount(labels[inside]), np.bincount(labels[inside], x[inside])
    ml = result.voxel_ml * float(np.prod(steps))
    return {int(v): (float(counts[v]) * ml, float(sums[v] / counts[v])) for v in np.flatnonzero(counts)}
