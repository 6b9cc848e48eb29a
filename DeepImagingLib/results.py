"""The vocabulary of answers: frozen dataclasses of numpy arrays and plain values, in RAS millimetres.

They pickle, hold no tensor and know no node, so that a result can cross a process boundary, be written to a
file or be shown in a scene by code that never saw the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

CUBIC_MM_PER_ML = 1000.0
PATCHES = "patches"
"""The method of a heatmap that holds each patch's probability."""
INDEPENDENT = 0.5
"""Rank correlation from which on a heatmap counts as one that doesn't hang on the weights.

A small DenseNet trained to tell rings from discs stays below 0.35 with every method, a network that ignores its
weights is at 1; untrained ones reach 0.9 with Grad-CAM++, whose map shows what is in the image.
"""


@dataclass(frozen=True)
class Code:
    """One entry of a coding scheme, such as `Code("SCT", "10200004", "Liver")` (DICOM PS3.3, 8.8)."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Terminology:
    """What a segment is, in DICOM's words: property category, type and, where there is one, a modifier."""

    category: Code
    type: Code
    modifier: Code | None = None


@dataclass(frozen=True)
class Segment:
    """One named structure: the voxels of layer `layer` that hold `value`.

    Attributes:
        id: Unique within its segmentation; plain ASCII, kept over saving and loading.
        name: As the bundle spells it.
        layer: First index into `Segmentation.layers`.
        value: Positive label value within that layer; in layer 0 of exclusive ones the bundle's channel number.
        color: Red, green, blue in 0..1.
        terminology: Codes, where the name is a known one.
        shown: False where views leave it out until it is switched on: it is weak, or would cover the others.
    """

    id: str
    name: str
    layer: int
    value: int
    color: tuple[float, float, float]
    terminology: Terminology | None = None
    shown: bool = True


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from; everything that is needed to make it again, and nothing about the patient.

    Attributes:
        bundle, version: Name and version from the bundle's metadata.
        sha256: Hex digest over the bundle's configs and weights.
        input_sha256: Hex digest over the voxels and affine of each input, by name.
        options: The options of the run, as plain values.
        device: Where the network ran, such as "cpu" or "cuda:0".
        precision: The arithmetic that was used, "full" for float32 as in stock MONAI.
        memory_step: The step of the memory ladder the run ended on; "as planned" where nothing had to give.
        versions: Library name to version.
        seconds: Stage name to wall-clock seconds.
        peak_memory: Highest resident set size of the process so far, in bytes.
        plan: How the run was to be computed and what that takes, in a sentence.
        notes: Plain sentences about what was adapted (filled NaN, skipped steps).
    """

    bundle: str
    version: str
    sha256: str
    input_sha256: Mapping[str, str]
    options: Mapping[str, Any]
    device: str
    precision: str
    memory_step: str
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    peak_memory: int
    notes: tuple[str, ...] = ()
    plan: str = ""


@dataclass(frozen=True, repr=False)
class Segmentation:
    """Masks in the geometry of the input.

    Attributes:
        layers: (L, I, J, K) unsigned integers, K = 1 for a picture; segments of one layer don't overlap.
        affine: (4, 4) IJK→RAS in mm, of the world the input was read in.
        segments: In the bundle's order.
        exclusive: True where a voxel has one label at most by construction (an argmax); then the values of layer 0
            are the bundle's channel numbers, and further layers hold groups of these labels.
        provenance: None for truth that no run made (a phantom's).
        probability: Label name → (I, J, K) in the geometry of the layers, of the labels that were asked for: what the
            bundle's steps have before they decide.
    """

    layers: npt.NDArray[np.unsignedinteger[Any]]
    affine: npt.NDArray[np.float64]
    segments: tuple[Segment, ...]
    exclusive: bool = True
    provenance: Provenance | None = field(default=None, compare=False)
    probability: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        """Tell the shape and the segments; the arrays would fill screens."""
        names = ", ".join(segment.name for segment in self.segments)
        return f"Segmentation({' × '.join(map(str, self.layers.shape))}: {names})"

    def mask(self, segment: Segment | str) -> npt.NDArray[np.bool_]:
        """Return the (I, J, K) voxels of a segment, given itself, its id or its name.

        Raises:
            KeyError: No segment has that id or name.
        """
        found = segment if isinstance(segment, Segment) else self.segment(segment)
        return np.asarray(self.layers[found.layer] == found.value)

    def segment(self, name: str) -> Segment:
        """Return the segment of that id or name; raises KeyError where there is none."""
        for candidate in self.segments:
            if name in (candidate.id, candidate.name):
                return candidate
        raise KeyError(f"no segment {name!r}; there are {[s.name for s in self.segments]}")

    @property
    def groups(self) -> tuple[Segment, ...]:
        """Segments that are unions of others: those beyond layer 0 where labels are exclusive."""
        return tuple(segment for segment in self.segments if self.exclusive and segment.layer > 0)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / CUBIC_MM_PER_ML

    def millilitres(self) -> dict[str, float]:
        """Return the volume of each segment in mL, by segment id."""
        counts = [label_counts(layer) for layer in self.layers]
        return {s.id: float(counts[s.layer][s.value]) * self.voxel_ml for s in self.segments}


@dataclass(frozen=True)
class Detection:
    """One finding: a box in space.

    Attributes:
        label: As the bundle spells it.
        score: The network's own, 0 to 1; comparable within one model only.
        center: RAS in mm.
        size: Full lengths of the edges along the box's own axes, in mm.
        axes: (3, 3), a unit vector in RAS a column: the directions of the input's voxel axes i, j, k.
        index_box: (i0, j0, k0, i1, j1, k1) in voxels of the input, where a voxel's centre has whole numbers.
        more: Further numbers the bundle gives for this box, by name.
    """

    label: str
    score: float
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    axes: npt.NDArray[np.float64] = field(compare=False)
    index_box: tuple[float, float, float, float, float, float]
    more: Mapping[str, float] = field(default_factory=dict)

    @property
    def millilitres(self) -> float:
        """Volume of the ellipsoid that fills the box, in mL."""
        return float(np.pi / 6 * np.prod(self.size)) / CUBIC_MM_PER_ML


@dataclass(frozen=True, repr=False)
class Detections:
    """Boxes found in one image, the highest score first.

    Attributes:
        boxes: All that the detector kept, down to its own lowest score.
        labels: What it can find, in the bundle's order.
        threshold: The score from which a box counts as a finding where the user says nothing else.
        shape, affine: Grid (I, J, K) and (4, 4) IJK→RAS in mm of the input; K = 1 for a picture.
        provenance: None for boxes that no run made (a reference's).
        heatmap: Label → (I, J, K) scores of the class in the geometry of the input, of the labels asked for.
    """

    boxes: tuple[Detection, ...]
    labels: tuple[str, ...]
    threshold: float
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    provenance: Provenance | None = field(default=None, compare=False)
    heatmap: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        """Tell how many there are."""
        return f"Detections({len(self.findings)} findings at {self.threshold:g} of {len(self.boxes)} boxes)"

    @property
    def findings(self) -> tuple[Detection, ...]:
        """The boxes at or above the threshold."""
        return tuple(box for box in self.boxes if box.score >= self.threshold)


@dataclass(frozen=True)
class Heatmap:
    """Where in the input a network saw what it tells of a label.

    Attributes:
        label: As the bundle spells it.
        method: How it was made, such as "gradcam".
        values: (I, J, K) float32 in the geometry of the input, as the method gives them; 0 where the network saw
            nothing of the input.
        layer: Of the network, where the method looks at one.
        sameness: Rank correlation with the map of the same network with random weights, -1 to 1; near 1, the map tells
            of the input and not of what was learnt (Adebayo et al., NeurIPS 2018). None where that can't be tried.
    """

    label: str
    method: str
    values: npt.NDArray[np.float32] = field(compare=False)
    layer: str = ""
    sameness: float | None = None

    @property
    def doubt(self) -> str:
        """Why the map tells nothing, or may, as words that follow its name; "" where nothing is known against it."""
        if self.values.max() <= 0:
            return "nothing in the image spoke for the class"
        if self.method == PATCHES:
            return ""
        if self.sameness is None:
            return "whether this map depends on what the model learnt could not be checked"
        return "this map does not depend on what the model learnt" if self.sameness >= INDEPENDENT else ""


@dataclass(frozen=True, repr=False)
class Classification:
    """What an image shows, as a probability a label.

    Attributes:
        labels: In the bundle's order.
        probabilities: Of each label, 0 to 1; calibrated where the bundle has a calibration. Of a volume that was seen
            slice by slice the highest of all slices, or their mean where labels exclude each other.
        exclusive: True where the probabilities are those of one choice and sum to 1.
        thresholds: From which probability each label counts as found.
        shape, affine: Grid (I, J, K) and (4, 4) IJK→RAS in mm of the input; K = 1 for a picture.
        uncalibrated: Probabilities as the network has them; empty where the bundle has no calibration.
        slices: (K, labels) probabilities of each slice along the third axis, NaN where it wasn't looked at.
        unlike: How unlike the images of its training the input is, 1 where that becomes telling; None where the bundle
            doesn't know.
        heatmaps: Those that were asked for.
        provenance: None for truth that no run made.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    exclusive: bool
    thresholds: tuple[float, ...]
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64] = field(compare=False)
    uncalibrated: tuple[float, ...] = ()
    slices: npt.NDArray[np.float64] | None = field(default=None, compare=False)
    unlike: float | None = None
    heatmaps: tuple[Heatmap, ...] = ()
    provenance: Provenance | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        """Tell the probabilities."""
        told = ", ".join(f"{name} {value:.2f}" for name, value in self.by_label.items())
        return f"Classification({told})"

    @property
    def by_label(self) -> dict[str, float]:
        """The probability of each label."""
        return dict(zip(self.labels, self.probabilities, strict=True))

    @property
    def found(self) -> tuple[str, ...]:
        """The most probable label where one excludes the others, else those that reach their threshold."""
        if self.exclusive:
            return (self.labels[int(np.argmax(self.probabilities))],)
        rows = zip(self.labels, self.probabilities, self.thresholds, strict=True)
        return tuple(label for label, probability, threshold in rows if probability >= threshold)

    @property
    def is_unlike(self) -> bool:
        """Whether the input looks like nothing the network was trained on, so that its answer means little."""
        return self.unlike is not None and self.unlike >= 1


def label_counts(layer: npt.NDArray[np.unsignedinteger[Any]]) -> npt.NDArray[np.int64]:
    """Return how many voxels each value of an 8- or 16-bit layer (I, J, K) has, by value.

    Counted plane by plane, because numpy's bincount turns what it counts into 64-bit numbers.
    """
    total = np.zeros(np.iinfo(layer.dtype).max + 1, np.int64)
    for plane in layer:
        total += np.bincount(plane.ravel(), minlength=len(total))
    return total


Result = Segmentation | Detections | Classification
"""What a run answers with; grows as tasks join."""
