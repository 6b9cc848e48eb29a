"""What became of one study of a batch, and the table of all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from DeepImagingLib.batch.studies import Study


@dataclass(frozen=True)
class Entry:
    """What became of a study.

    Attributes:
        study: Which.
        seconds: How long it took.
        report: As `files.report` gives it; None where it failed.
        error: Why it failed, "" where it didn't.
        earlier: True where it ended in an earlier call.
    """

    study: Study
    seconds: float
    report: Mapping[str, Any] | None = field(default=None, repr=False)
    error: str = ""
    earlier: bool = False

    @property
    def segments(self) -> Sequence[Mapping[str, Any]]:
        """The segments of its report."""
        return self.report["segments"] if self.report is not None else ()

    @property
    def notes(self) -> Sequence[str]:
        """What its provenance notes: a scan that is no CT, sides that the header denies."""
        return self.report["provenance"]["notes"] if self.report is not None else ()

    def as_plain(self) -> dict[str, Any]:
        """Return what the table tells, as plain values."""
        return {
            "study": self.study.name,
            "input": "; ".join(map(str, self.study.inputs.values())),
            "milliliters": {segment["id"]: segment["milliliters"] for segment in self.segments},
            "seconds": round(self.seconds, 2),
            "error": self.error,
            "notes": list(self.notes),
        }


def table(entries: Sequence[Entry]) -> str:
    """Return the entries as CSV: a row for each study, a column in mL for each segment."""
    names = {segment["id"]: f"{segment['name']} (mL)" for entry in entries for segment in entry.segments}
    with io.StringIO(newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["study", "input", *names.values(), "seconds", "error", "notes"])
        for row in (entry.as_plain() for entry in entries):
            volumes = [row["milliliters"].get(key, "") for key in names]
            writer.writerow(
                [row["study"], row["input"], *volumes, row["seconds"], row["error"], " ".join(row["notes"])]
            )
        return text.getvalue()
