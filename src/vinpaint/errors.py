"""Mistakes a person can mend."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake a person can mend: bad input, a wrong option, weights that do not fit.

    The message is one line that says what was found, what was expected and what to do. Commands print it without a
    stack trace; a library user catches it as a ``ValueError``.
    """
