"""What the file tools share: refusals of the file system as answers that the model can act on."""

from hostler.core.machines import FileProblem
from hostler.tools.tool import Answer


def refused(problem: FileProblem) -> Answer:
    """Return a file system's refusal as the tool's answer."""
    return Answer("failed", problem.message)
