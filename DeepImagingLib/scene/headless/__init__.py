"""Slicer without its window, for scripts and tests outside Slicer: what `slicer.app` and its IO manager do there.

Inside Slicer nothing of this is imported.
"""
