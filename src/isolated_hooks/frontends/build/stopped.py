"""The exception that carries an error of this package through build."""

from __future__ import annotations

import build

from ...errors import IsolatedHooksError

__all__ = ["StoppedError"]


class StoppedError(build.BuildException):
    """Carries an error of this package through build, which prints a traceback for exceptions that are not its own.

    :ivar exception: the error
    """

    def __init__(self, exception: IsolatedHooksError) -> None:
        super().__init__(str(exception))
        self.exception = exception
