"""What can go wrong, by cause: each message says what is wrong, with the value seen, and what to do."""

from __future__ import annotations


class DeepImagingError(Exception):
    """Base of every error this library raises on purpose.

    Its text is one sentence fit for a user's eyes: the command line prints it and ends with `exit_code`,
    a panel shows it; the traceback is for logs only.
    """

    exit_code = 1


class InputError(DeepImagingError):
    """The image, the region, the option or the output path can't be used as given."""

    exit_code = 2


class BundleError(DeepImagingError):
    """The bundle is incomplete, inconsistent or not one this library can run."""

    exit_code = 2


class TrustError(BundleError):
    """The bundle asks for code that is not on the list of what may run; names the key and the line."""


class OutputError(DeepImagingError):
    """A result could not be written (a full disk, say); nothing is left under a final name."""


class MemoryLimitError(DeepImagingError):
    """The run does not fit into the memory there is."""


class WorkerError(DeepImagingError):
    """The process that did the run ended, or something nobody foresaw went wrong in it."""


class CancelledError(DeepImagingError):
    """The user cancelled the run; nothing was kept."""
