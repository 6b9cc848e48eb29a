"""What every command shares: errors in one sentence, Ctrl-C, a line of progress, answers as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from DeepImagingLib.errors import DeepImagingError, InputError

if TYPE_CHECKING:
    from DeepImagingLib.inference.progress import Progress


def set_up_logging(verbose: bool = False) -> None:
    """Log to stderr; warnings of other libraries are for --verbose, not for users."""
    logging.captureWarnings(True)
    level = logging.DEBUG if verbose else logging.ERROR
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the words in one sentence, like every other error."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and end with the exit code of wrong input."""
        self.exit(InputError.exit_code, f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.\n")


class Interrupt:
    """Turns Ctrl-C, and being ended, into a wish to cancel, from entering the context to leaving it.

    Nothing is raised: an exception in the middle of an import, of a transform or of moving files into place would be
    swallowed, taken for another error, or leave half of them. The run asks for the wish at each of its steps.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Tell whether the user asked to stop."""
        return self._asked

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, *_: object) -> None:
        self._asked = True


def guarded(command: Callable[[Interrupt], int]) -> int:
    """Return what `command` does, or the exit code of its error, said in one sentence on stderr."""
    log = logging.getLogger(__name__)
    try:
        with Interrupt() as interrupt:
            return command(interrupt)
    except DeepImagingError as error:
        log.debug("traceback", exc_info=True)
        _say(str(error))
        return error.exit_code
    except MemoryError:
        _say("This needs more memory than the machine has; limit a run with --roi, a training with a smaller patch.")
        return 1
    except Exception as error:
        log.debug("traceback", exc_info=True)
        reason = " ".join(str(error).split())[:300]
        _say(f"Something unexpected went wrong ({type(error).__name__}: {reason}); see --verbose.")
        return 1


class ProgressLine:
    """Shows progress as one line of a terminal that is written over.

    Args:
        shown: False keeps silent.
    """

    def __init__(self, shown: bool) -> None:
        self._shown = shown

    def __call__(self, progress: Progress | None) -> None:
        """Show a `Progress`."""
        if self._shown and progress is not None:
            left = f", {progress.seconds_left:.0f} s left" if progress.seconds_left else ""
            sys.stderr.write(f"\r\x1b[K{progress.stage} {100 * progress.fraction:.0f} %{left}")
            sys.stderr.flush()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the line."""
        self.clear()

    def clear(self) -> None:
        """Clear the line, so that something else can be written."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")


def print_table(told: Mapping[str, Any], as_json: bool) -> None:
    """Print names and values, one a line, or as JSON."""
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        if isinstance(value, Mapping):
            value = "".join(f"\n    {k}: {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        print(f"{name + ':':<16} {value}")


def print_json(value: Any) -> None:
    """Print a plain value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _say(message: str) -> None:
    print(message, file=sys.stderr)
