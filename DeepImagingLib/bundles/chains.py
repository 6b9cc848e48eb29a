"""The steps of a chain of transforms, read as data through the ways in which configs spell one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from DeepImagingLib.bundles.references import join, look_up
from DeepImagingLib.bundles.repairs import TARGET, Step, is_off, step_of

MAX_STEPS = 1000


class Chain:
    """Collects the components of a chain with their ids, in order.

    It goes through Compose, lists, references, and sums of references ("$@first + @second"). What can't be
    followed as data is left out.

    Args:
        config: The config, without macros.
        keep: Tells which components to collect; the ones that aren't switched off by default.
    """

    def __init__(self, config: Mapping[str, Any], keep: Callable[[dict[str, Any]], bool] | None = None) -> None:
        self._config = config
        self._keep = keep or (lambda step: not is_off(step))
        self._visits = 0
        self.steps: list[Step] = []

    def follow(self, ident: str, within: tuple[str, ...] = ()) -> None:
        """Collect from what stands at `ident`; circles and endless chains end by themselves."""
        self._visits += 1
        if ident in within or self._visits > MAX_STEPS:
            return
        try:
            value = look_up(self._config, ident)
        except KeyError:
            return
        within = (*within, ident)
        if isinstance(value, list):
            for index in range(len(value)):
                self.follow(join(ident, index), within)
        elif isinstance(value, dict) and step_of(value) == "Compose" and not is_off(value):
            self.follow(join(ident, "transforms"), within)
        elif isinstance(value, dict) and TARGET in value:
            self.steps += [(ident, value)] if self._keep(value) else []
        elif isinstance(value, str) and value[:1] in ("$", "@"):
            for part in value.removeprefix("$").split("+"):
                self.follow(part.strip().removeprefix("@"), within)


def chain_steps(
    config: Mapping[str, Any], ident: str, keep: Callable[[dict[str, Any]], bool] | None = None
) -> list[Step]:
    """Return the components of the chain at `ident` with their ids; see `Chain`."""
    chain = Chain(config, keep)
    chain.follow(ident)
    return chain.steps
