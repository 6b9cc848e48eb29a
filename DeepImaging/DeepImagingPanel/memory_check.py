"""A button that asks how a run would go and whether it fits into memory, before it is begun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib.errors import CancelledError, DeepImagingError
from DeepImagingLib.hosts import Handle
from DeepImagingPanel import runner


class MemoryCheck:
    """Has the worker plan a run; while it does, the button stops it.

    Args:
        button: The button.
        foresee: Lines up what is chosen and returns its handle, given the listener; raises DeepImagingError.
        say: Shows a sentence.
    """

    def __init__(
        self, button: Any, foresee: Callable[[Callable[[Handle], None]], Handle], say: Callable[[str], None]
    ) -> None:
        self._button = button
        self._foresee = foresee
        self._say = say
        self._handle: Handle | None = None
        button.connect("clicked()", self._click)

    def refresh(self, possible: bool) -> None:
        """Show what the button does: it is grey where nothing can be run, and while something else is being done."""
        asked = self._handle is not None
        self._button.text = _("Stop") if asked else _("Will it fit?")
        self._button.enabled = asked or (possible and not runner.current().busy)

    def _click(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            return
        self._say(_("Looking how a run would go …"))
        try:
            self._handle = self._foresee(self._hear)
        except DeepImagingError as error:
            self._say(str(error))
        self.refresh(True)

    def _hear(self, handle: Handle) -> None:
        if not handle.done:
            return
        self._handle = None
        if handle.error is None:
            told = _("{name} would go like this: {plan}")
            self._say(told.format(name=handle.name, plan=handle.result().sentence))
        else:
            self._say("" if isinstance(handle.error, CancelledError) else str(handle.error))
