"""What tests of batches share."""

from Testing.command_line.conftest import brats, bundle, call

__all__ = ["brats", "bundle", "call"]  # fixtures
