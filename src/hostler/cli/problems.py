"""What ends a command early: a message for people, and the exit code that scripts see."""

DONE, FAILED, USAGE, ASKED = 0, 1, 2, 3
"""0 done; 1 failed; 2 wrong usage; 3 only when a question, an approval or a host's authentication is open."""


class Problem(Exception):
    """The command cannot go on; the message says why and, where that is known, what would help."""

    def __init__(self, message: str, *, exit_code: int = FAILED, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.code = code
        """The API's error code, when the server said no."""


class Unreachable(Problem):
    """No server answers, or the connection broke."""


def usage(message: str) -> Problem:
    """Return the problem of a command that was not understood."""
    return Problem(message, exit_code=USAGE)
