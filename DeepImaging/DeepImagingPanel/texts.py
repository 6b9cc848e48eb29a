"""Texts that came from elsewhere, such as a model's metadata, on their way into widgets."""

from __future__ import annotations

from html import escape


def asPlain(text: str) -> str:
    """Return a text so that a tooltip or a question shows it as it stands: Qt takes what looks like HTML for HTML."""
    return f"<qt>{escape(text, quote=False)}</qt>" if "<" in text else text
