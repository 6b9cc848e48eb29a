"""How a run goes through its recipe's schedule: step by step, or at the pace that a deadline allows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Pace:
    """Maps a run's steps onto the steps that the recipe's schedule was written for.

    A run without a deadline takes them one by one. One with a deadline walks through the same schedule, warm-up and
    decay included, in as many steps as fit: any scheduler of torch is served so, whatever its settings are called.
    What is gone stays gone: a new total stretches or shortens the rest only, so that the learning rate never jumps.

    Attributes:
        scheduled: Steps of the recipe's schedule.
        total: Steps of this run.
        since: Step from which the present total holds.
        gone: Steps of the schedule that were gone by then.
    """

    scheduled: int
    total: int
    since: int = 0
    gone: float = 0.0

    def position(self, step: int) -> int:
        """Return how many steps of the schedule are gone after `step` steps of the run.

        Example:
            >>> Pace(scheduled=1000, total=100).position(50)
            500
        """
        return int(self._gone_by(step))

    def refit(self, step: int, left: float) -> None:
        """Have the run end after `left` more steps."""
        self.gone = self._gone_by(step)
        self.since, self.total = step, step + max(0, int(left))

    def _gone_by(self, step: int) -> float:
        if self.total == self.since:
            return self.gone
        return self.gone + (self.scheduled - self.gone) * (step - self.since) / (self.total - self.since)
