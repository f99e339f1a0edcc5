"""Texts of the application, fit to cross. Nothing here raises, whatever it is given."""

from __future__ import annotations

from typing import Any

from .errors import MoorlineError

__all__ = ["failure_of", "message_of", "said", "sound"]

_NO_TEXT = "something was raised that has no text"
"""What is said where nothing else can be."""


def sound(text: str) -> str:
    """Puts U+FFFD in the place of surrogates that stand alone; a pair becomes its character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def said(value: Any) -> str:
    """Returns what `str` makes of a value."""
    try:
        return sound(str(value))
    except BaseException:
        return _NO_TEXT


def message_of(error: BaseException) -> str:
    """Returns the message of an error; its class if it has none, or one that says too little."""
    return failure_of(error) if isinstance(error, KeyError) else said(error) or failure_of(error)


def failure_of(error: BaseException) -> str:
    """Says a failure: its class, or our code, and its message."""
    message = said(error)
    if issubclass(type(error), MoorlineError):
        return message
    try:
        kind = sound(type(error).__name__)
    except BaseException:
        kind = "Exception"
    # The base class says nothing.
    if message and type(error) is Exception:
        return message
    return f"{kind}: {message}" if message else kind
