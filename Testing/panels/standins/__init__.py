"""Slicer's Qt side in our own words, over PySide6: enough to load, click and render scripted modules headless.

What the stand-ins don't know - a widget, a signal, a property - is an error. They show that a panel is wired, not that
PythonQt takes every call: keep to what PythonQt and PySide share.
"""

from Testing.panels.standins.dialogs import answering
from Testing.panels.standins.driving import click, load_module, process_events_until, render, unload_module
from Testing.panels.standins.install import install

__all__ = ["answering", "click", "install", "load_module", "process_events_until", "render", "unload_module"]
