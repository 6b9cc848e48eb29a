"""Dialogs that would wait for a user: a test says what is answered, and without an answer they are an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PySide6 import QtCore, QtWidgets

FILE_QUESTIONS = ("getOpenFileName", "getSaveFileName", "getOpenFileNames", "getExistingDirectory")
MESSAGES = ("about", "critical", "information", "question", "warning")

_answers: list[Any] = []


@contextmanager
def answering(*answers: Any) -> Iterator[list[Any]]:
    """Answer the dialogs that open inside, in their order, each of which has to come.

    An answer is what a static question such as `qt.QFileDialog.getOpenFileName` returns, or, for `dialog.exec_()`,
    a callable that gets the open dialog and clicks in it.

    Yields:
        What was asked so far: the static questions' arguments, the dialogs.
    """
    asked: list[Any] = []
    _answers[:] = [(answer, asked) for answer in answers]
    try:
        yield asked
        if _answers:
            raise AssertionError(f"{len(_answers)} dialogs that were to be answered never opened")
    finally:
        _answers.clear()


def guarded(standIn: Any) -> Any:
    """Return the stand-in; where it is a dialog's or a menu's, what would wait for a user takes the next answer."""
    if issubclass(standIn, (QtWidgets.QDialog, QtWidgets.QMenu)):
        standIn.exec = standIn.exec_ = _guardedExec(standIn)
    for owner, questions in ((QtWidgets.QFileDialog, FILE_QUESTIONS), (QtWidgets.QMessageBox, MESSAGES)):
        if issubclass(standIn, owner):
            for question in questions:
                setattr(standIn, question, staticmethod(_guardedQuestion(question)))
    return standIn


def _guardedExec(standIn: Any) -> Callable[..., Any]:
    def run(self: Any, *arguments: Any) -> Any:
        answer = _next(self, f"{self.className()} {getattr(self, 'text', '') or self.windowTitle!r}")
        QtCore.QTimer.singleShot(0, lambda: answer(self))
        return standIn._qtClass.exec(self, *arguments)

    return run


def _guardedQuestion(name: str) -> Callable[..., Any]:
    return lambda *arguments: _next(arguments, f"{name}{arguments}")


def _next(asked: Any, question: str) -> Any:
    if not _answers:
        raise RuntimeError(f"a dialog waits for a user who isn't there: {question}; see dialogs.answering")
    answer, log = _answers.pop(0)
    log.append(asked)
    return answer
