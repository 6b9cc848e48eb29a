"""What a run would do and take, as plain values that cross a process boundary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from DeepImagingLib.inference.plan import AsItIs, InParts, Plan


@dataclass(frozen=True)
class Outlook:
    """A plan in a sentence and in numbers.

    Attributes:
        sentence: For a user.
        numbers: What the sentence tells, memory in bytes; none where a run can't be planned.
    """

    sentence: str
    numbers: Mapping[str, Any]

    def as_plain(self) -> dict[str, Any]:
        """Return all of it as one mapping."""
        return {"sentence": self.sentence, **self.numbers}


def outlook_of(plan: Plan | AsItIs | InParts) -> Outlook:
    """Return what a plan tells."""
    from DeepImagingLib.inference.plan import Plan

    if not isinstance(plan, Plan):
        return Outlook(plan.sentence, {})
    way, need = plan.way, plan.need
    return Outlook(
        plan.sentence,
        {
            "device": str(way.device),
            "added_up_on": str(way.store),
            "precision": way.precision,
            "windows": plan.windows,
            "at_once": way.batch,
            "device_bytes": need.on_device(way),
            "device_limit": plan.limits[0],
            "host_bytes": need.on_host(way),
            "host_limit": plan.limits[1],
            "seconds": None if plan.seconds is None else round(plan.seconds, 3),
        },
    )
