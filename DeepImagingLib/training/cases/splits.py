"""Who is trained on, and who is kept back: by subject, with each label in every part where there are enough."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np

from DeepImagingLib.errors import InputError
from DeepImagingLib.training.cases.dataset import CLASSIFICATION, DETECTION, SEGMENTATION, SPLITS, Dataset
from DeepImagingLib.training.cases.inspect import Facts

SHARES = {"train": 0.75, "validation": 0.25}
ENOUGH_TO_DEAL = 4
"""New subjects, beside those that have their place, from which one is kept back; fewer are all trained on."""


def split(dataset: Dataset, facts: Sequence[Facts], seed: int, shares: Mapping[str, float] | None = None) -> Dataset:
    """Return the dataset with a split for every case; those that have one keep it.

    Subjects are dealt out rarest label first, to the part that lacks it most (iterative stratification: Sechidis et
    al., ECML PKDD 2011).

    Args:
        dataset: To split.
        facts: Of its cases.
        seed: Of what is random.
        shares: Part → share of the subjects; None takes SHARES, of which no part may stay empty.

    Raises:
        InputError: There are fewer subjects than parts, or no case to train or to measure on.
    """
    needed = tuple(SHARES) if shares is None else ()
    shares = SHARES if shares is None else shares
    voxels = {one.case.key: one.voxels for one in facts}
    chosen = {case.subject: case.split for case in dataset.cases if case.split}
    present: dict[str, set[int]] = defaultdict(set)
    for case in dataset.cases:
        present[case.subject] |= set(np.flatnonzero(voxels[case.key][1:]).tolist())
    if len(present) < len(shares):
        raise InputError(
            f"There are cases of {len(present)} subject, and {' and '.join(shares)} need one each; add some."
        )
    if not {"train", "validation"} <= set(chosen.values()):
        chosen |= _dealt(present, chosen, seed, shares)
    parts = tuple(replace(case, split=chosen.get(case.subject, SPLITS[0])) for case in dataset.cases)
    for part in needed:
        if all(case.split != part for case in parts):
            raise InputError(
                f"No case is in the split {part!r}; there have to be some to train on and some to measure."
            )
    return replace(dataset, cases=parts)


def as_before(
    dataset: Dataset, facts: Sequence[Facts], earlier: Mapping[str, Sequence[str]], seed: int
) -> tuple[Dataset, int]:
    """Return the dataset with the splits that its scans had in an earlier training, and how many had one.

    A scan that was trained on must not be measured on later, or the model would seem to get better by itself.

    Args:
        dataset: To split; a case that has a split keeps it.
        facts: Of its cases.
        earlier: Split → SHA-256 of the scans in it, as a bundle's metadata tell them.
        seed: Of what is random.
    """
    had = {sha256: split for split in reversed(SPLITS) for sha256 in earlier.get(split, ())}  # trained on weighs most
    found = {one.case.subject: had[one.sha256] for one in facts if one.sha256 in had and one.case.split is None}
    new = {
        one.case.subject: set(np.flatnonzero(one.voxels[1:]).tolist())
        for one in facts
        if one.case.split is None and one.case.subject not in found
    }
    if found and len(new) >= ENOUGH_TO_DEAL:
        chosen = found | _dealt(new, {}, seed, SHARES)
    else:
        chosen = found
    cases = tuple(replace(case, split=case.split or chosen.get(case.subject)) for case in dataset.cases)
    return replace(dataset, cases=cases), sum(case.subject in found for case in dataset.cases)


def fold(dataset: Dataset, facts: Sequence[Facts], seed: int, number: int, count: int) -> Dataset:
    """Return the dataset with one of `count` equal parts to validate on, and the others to train on.

    Args:
        dataset: To split; splits that it has are passed over, but for those for tests.
        facts: Of its cases.
        seed: Of what is random; each part is another for the same seed.
        number: Which part, from 1 on.
        count: How many parts.

    Raises:
        InputError: There are fewer subjects than parts, or no such part.
    """
    if not 1 <= number <= count or count < 2:
        raise InputError(f"There is no fold {number} of {count}; name one such as 1/5.")
    free = [replace(case, split=case.split if case.split == "test" else None) for case in dataset.cases]
    shares = {f"part {n}": 1 / count for n in range(1, count + 1)}
    parts = split(replace(dataset, cases=tuple(free)), facts, seed, shares).cases
    kept = {f"part {number}": "validation", "test": "test"}
    return replace(dataset, cases=tuple(replace(case, split=kept.get(str(case.split), "train")) for case in parts))


def check_enough(dataset: Dataset, facts: Sequence[Facts]) -> None:
    """Raise InputError where a split, masks aside, has nothing to learn or to measure: no box, or no label to tell.

    Args:
        dataset: With a split for each case.
        facts: Of its cases.
    """
    if dataset.task == SEGMENTATION:
        return
    voxels = {one.case.key: one.voxels[1:] for one in facts}
    for part in SHARES:
        counts = np.array([voxels[case.key] for case in dataset.part(part)])
        if dataset.task == DETECTION and not counts.any():
            raise InputError(f"No scan of the split {part!r} has a box; add scans that have some, or name the splits.")
        if dataset.task == CLASSIFICATION and (counts.astype(bool) == counts[:1].astype(bool)).all():
            raise InputError(
                f"All images of the split {part!r} have the same labels, so that nothing can be told apart; add some."
            )


def _dealt(
    present: Mapping[str, set[int]], chosen: Mapping[str, str], seed: int, shares: Mapping[str, float]
) -> dict[str, str]:
    """Return subject → part for subjects that have none yet."""
    order = sorted(present.keys() - chosen.keys())
    np.random.default_rng(seed).shuffle(order)
    room = {part: max(1, round(share * len(order))) for part, share in shares.items()}
    spare = len(order) - sum(room.values())
    for part, _ in zip(cycle(shares), range(abs(spare))):
        room[part] += np.sign(spare)
    frequency = Counter(label for subject in order for label in present[subject])
    have: dict[str, Counter[int]] = {part: Counter() for part in shares}

    def rarest(subject: str) -> tuple[float, int]:
        return min(((frequency[label], label) for label in present[subject]), default=(np.inf, -1))

    dealt = {}
    for subject in sorted(order, key=lambda one: rarest(one)[0]):
        label = rarest(subject)[1]
        open_ = [part for part in shares if room[part] > 0]
        part = max(open_, key=lambda one: (shares[one] * frequency[label] - have[one][label], room[one]))
        dealt[subject] = part
        room[part] -= 1
        have[part].update(present[subject])
    return dealt
