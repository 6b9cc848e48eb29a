"""Slicer without its window, for scripts and tests outside Slicer: what `slicer.app` and its file dialogs' logic do there.

Inside Slicer nothing of this is imported.
"""
