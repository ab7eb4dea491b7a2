"""Errors that a person will read: each names the thing and says what to do next.

The command line prints them without a traceback; anything else that escapes is a defect of ours.

Effects: none
"""


class XeniosError(Exception):
    """An expected failure. `str(error)` is what happened; `remedy` is what to do next. Neither holds a secret."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class TargetUnreadable(XeniosError):
    """A target could not be opened, or nothing useful could be read from it."""


class TargetSilent(TargetUnreadable):
    """A target took our question and did not answer in time. What it knows is unknown, not absent."""
