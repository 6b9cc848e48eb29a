"""Look at every file of a dataset before a second of training: what is wrong, and what the defaults follow from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import digest, read
from DeepImagingLib.training.cases.dataset import CLASSIFICATION, DETECTION, Case, Dataset
from DeepImagingLib.training.cases.load import (
    OVERLAP,
    corners,
    load_boxes,
    load_image,
    numbered_labels,
    numbers_in,
    onto_grid,
    same_grid,
)

if TYPE_CHECKING:
    from monai.data import MetaTensor

SAMPLE = 10_000  # voxels a case whose intensities stand for all of them
MOST_LABELS = 255
KEPT = 0.5  # share of a label's volume that has to lie within the image


@dataclass(frozen=True)
class Problem:
    """What is wrong.

    Attributes:
        text: A sentence that names the file and says what to do.
        case: Where; None where it concerns the dataset.
        fatal: Training can't begin; other problems are worth a look.
    """

    text: str
    case: Case | None = None
    fatal: bool = True


@dataclass(frozen=True)
class Facts:
    """What training needs to know of a case.

    Attributes:
        case: Which.
        shape: Voxels of the image along right, anterior and superior; as they are stored where it is a picture.
        spacing: mm along the same axes.
        voxels: (K + 1,) voxels of the background and each label; of cases that have no mask, for each label how many
            boxes there are, or 1 where the image has it.
        foreground: (C, n) intensities of some voxels with a label; of cases that have no mask, of any.
        intensities: (C, n) of some voxels anywhere.
        sha256: Of the image's voxels and affine: how a bundle knows a scan it was trained on, without its name.
        lengths: (N, 3) of its boxes along right, anterior and superior in mm.
    """

    case: Case
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    voxels: npt.NDArray[np.int64]
    foreground: npt.NDArray[np.float32]
    intensities: npt.NDArray[np.float32]
    sha256: str
    lengths: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))


@dataclass(frozen=True)
class Inspection:
    """What was found in all files.

    Attributes:
        dataset: That was looked at.
        facts: Of each case that can be used.
        problems: All of them.
    """

    dataset: Dataset
    facts: tuple[Facts, ...]
    problems: tuple[Problem, ...]

    def require(self) -> None:
        """Raise one InputError with every problem that is fatal, a line each, if there is any."""
        fatal = [problem.text for problem in self.problems if problem.fatal]
        if fatal:
            count = "A problem" if len(fatal) == 1 else f"{len(fatal)} problems"
            raise InputError("\n  ".join([f"{count} in the data; nothing was trained:", *fatal]))


def inspect(dataset: Dataset, tell: Callable[[float], None] = lambda _: None) -> Inspection:
    """Read every file of a dataset, one case at a time.

    Args:
        dataset: What to look at.
        tell: Called with the share that is done; may raise to stop.
    """
    facts: list[Facts] = []
    problems = list(_of_the_whole(dataset))
    for number, case in enumerate(dataset.cases):
        tell(number / len(dataset.cases))
        found, wrong = _look(case, dataset)
        problems += wrong
        facts += found
    problems += [*_never_there(dataset, facts), *_twice(facts)]
    return Inspection(dataset, tuple(facts), tuple(problems))


def _of_the_whole(dataset: Dataset) -> Iterator[Problem]:
    if len(dataset.labels) > MOST_LABELS:
        yield Problem(f"There are {len(dataset.labels)} labels; {MOST_LABELS} are the most.")
    splits = defaultdict(set)
    for case in dataset.cases:
        splits[case.subject].add(case.split)
    for case in dataset.cases:
        others = splits[case.subject] - {case.split}
        if others:
            sides = " and ".join(sorted(str(split or "no split") for split in splits[case.subject]))
            yield Problem(f"{case.name}: its subject is in {sides}; put all of a subject's cases into one split.", case)


def _never_there(dataset: Dataset, facts: list[Facts]) -> Iterator[Problem]:
    if not facts:
        return
    voxels = np.sum([one.voxels for one in facts], axis=0)
    for number, name in enumerate(dataset.labels, 1):
        if voxels[number] == 0 and dataset.task == CLASSIFICATION:
            yield Problem(f"No image has the label {name!r}; leave it out.")
        elif voxels[number] == 0:
            yield Problem(f"No case has the label {name!r} ({dataset.labels[name]}); leave it out or mend its number.")


def _twice(facts: list[Facts]) -> Iterator[Problem]:
    """Tell of scans that are there twice, as if they were of different subjects."""
    first: dict[str, Facts] = {}
    for one in facts:
        other = first.setdefault(one.sha256, one)
        if other.case.subject != one.case.subject:
            text = f"{one.case.name}: its scan is that of {other.case.name}; leave one out, or give both one subject."
            yield Problem(text, one.case)


def _look(case: Case, dataset: Dataset) -> tuple[list[Facts], list[Problem]]:
    """Return the facts of a case, if it can be used, and what is wrong with it."""
    problems = []
    try:
        image: MetaTensor | None = load_image(case, dataset)
    except InputError as error:
        image = None
        problems.append(Problem(f"{case.name}: image: {error}", case))
    if image is not None:
        problems += _wrong_image(case, image)
    look = _look_at_mask if case.label and case.boxes is None else _look_at_marks
    return look(case, dataset, image, problems)


def _look_at_mask(
    case: Case, dataset: Dataset, image: MetaTensor | None, problems: list[Problem]
) -> tuple[list[Facts], list[Problem]]:
    try:
        label = read(case.mask)
        numbers = numbers_in(case.mask, dataset.labels)
    except InputError as error:
        return [], [*problems, Problem(f"{case.name}: {error}", case)]
    if image is None:
        return [], problems
    problems = [*_wrong_labels(case, label, numbers), *problems]
    if any(problem.fatal for problem in problems):
        return [], problems
    numbered = numbered_labels(label, dataset, numbers)
    placed = numbered if same_grid(numbered, image) else onto_grid(numbered, image)
    apart = list(_apart(case, numbered, placed, image))
    if apart:
        return [], problems + apart
    if dataset.task == DETECTION:
        return _look_at_marks(case, dataset, image, problems)
    voxels = np.bincount(placed.numpy().ravel(), minlength=len(dataset.labels) + 1)
    return [_facts(case, image, image.numpy()[:, placed.numpy()[0] > 0], voxels)], problems


def _look_at_marks(
    case: Case, dataset: Dataset, image: MetaTensor | None, problems: list[Problem]
) -> tuple[list[Facts], list[Problem]]:
    """As `_look`, of a case that is classified, or has boxes."""
    if image is None or any(problem.fatal for problem in problems):
        return [], problems
    if dataset.task == CLASSIFICATION:
        voxels = np.array([0, *(name in case.on for name in dataset.labels)])
        return [_facts(case, image, _flat(image), voxels)], problems
    marks = load_boxes(case, dataset)
    voxels = np.bincount(1 + marks["label"].numpy(), minlength=len(dataset.labels) + 1)
    boxes = marks["box"].double().numpy()
    if outside := int(_outside(boxes[:, :3], image).sum()):
        count = "a box" if outside == 1 else f"{outside} boxes"
        text = f"{case.name} has {count} whose middle lies outside of {case.images[0].name}; do they belong together?"
        return [], [*problems, Problem(text, case)]
    return [replace(_facts(case, image, _flat(image), voxels), lengths=boxes[:, 3:])], problems


def _outside(points: npt.NDArray[np.float64], image: MetaTensor) -> npt.NDArray[np.bool_]:
    """Tell which of (N, 3) points in RAS mm aren't in the image."""
    affine = np.asarray(image.affine, float)
    voxels = np.linalg.solve(affine[:3, :3], (points - affine[:3, 3]).T).T
    return np.asarray(((voxels < -0.5) | (voxels > np.subtract((*image.shape[1:], 1)[:3], 0.5))).any(axis=1))


def _flat(image: MetaTensor) -> npt.NDArray[np.float32]:
    return np.asarray(image.numpy().reshape(len(image), -1))


def _wrong_labels(case: Case, label: MetaTensor, numbers: dict[str, int]) -> Iterator[Problem]:
    if label.shape[0] != 1:
        yield Problem(f"{case.name} {OVERLAP}", case)
        return
    values = np.unique(label.numpy())
    if not np.array_equal(values, np.round(values)) or values.min() < 0:
        yield Problem(f"{case.name} holds values such as {values[-1]:g}, which are no label numbers.", case)
    elif unknown := sorted({int(value) for value in values} - {0, *numbers.values()}):
        listed = ", ".join(map(str, unknown[:8])) + (" …" if len(unknown) > 8 else "")
        text = f"{case.name} has the label numbers {listed}, which no label has; they count as background."
        yield Problem(text, case, fatal=False)


def _wrong_image(case: Case, image: MetaTensor) -> Iterator[Problem]:
    values = image.numpy()
    if not np.isfinite(values).all():
        yield Problem(f"{case.images[0].name} has voxels without a number (NaN or infinite); repair the file.", case)
    elif values.min() == values.max():
        yield Problem(f"{case.images[0].name} has the same value {values.min():g} everywhere; is it the image?", case)


def _apart(case: Case, label: MetaTensor, placed: MetaTensor, image: MetaTensor) -> Iterator[Problem]:
    """Tell where image and label lie at different places."""
    ours, theirs = corners(image), corners(label)
    gap = np.maximum(theirs.min(0) - ours.max(0), ours.min(0) - theirs.max(0)).max()
    if gap > 0:
        yield Problem(f"{case.name} lies {gap:.0f} mm beside {case.images[0].name}; do they belong together?", case)
        return
    before, after = (float((one > 0).sum()) * _voxel_mm3(one) for one in (label, placed))
    if after < KEPT * before:
        share = 1 - after / before
        yield Problem(f"{case.name}: {share:.0%} of its labels lie outside of {case.images[0].name}; check both.", case)


def _voxel_mm3(image: MetaTensor) -> float:
    return float(abs(np.linalg.det(np.asarray(image.affine)[:3, :3])))


def _facts(case: Case, image: MetaTensor, foreground: npt.NDArray[np.float32], voxels: npt.NDArray[np.int64]) -> Facts:
    affine, dims = np.asarray(image.affine), image.ndim - 1
    order = nibabel.io_orientation(affine)[:, 0].argsort().astype(int) if dims == 3 else np.arange(2)
    rng = np.random.default_rng(0)
    return Facts(
        case=case,
        shape=tuple(int(image.shape[1 + axis]) for axis in order),
        spacing=tuple(float(np.linalg.norm(affine[:3, axis])) for axis in order),
        voxels=voxels,
        foreground=_some(foreground, rng),
        intensities=_some(_flat(image), rng),
        sha256=digest(image),
    )


def _some(values: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return some columns of (C, n)."""
    if values.shape[1] > SAMPLE:
        values = values[:, rng.integers(0, values.shape[1], SAMPLE)]
    return np.asarray(values, np.float32)
