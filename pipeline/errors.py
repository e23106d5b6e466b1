"""The errors of the pipeline, and the exit code of each.

PipelineError
├── UsageError        2   wrong usage: an unknown name, an invalid option
├── MalformedError    3   malformed input: not a checkpoint, truncated, wrong shape, missing key
├── UnsafeError       4   refused as unsafe: a path that leaves its folder, code of strangers
├── IntegrityError    5   a digest does not match
├── ParityError       6   numbers do not match
├── UnavailableError  7   a provider or runtime that was asked for is not on this machine
└── StorageError      8   disk full, no permission, file busy

A message is one line: what is wrong, where, and what to do. Only ``cli/`` prints and exits.
"""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 300  # characters of a message of a library
INTERRUPTED = 130  # 128 + SIGINT, the shell's own convention


class PipelineError(Exception):
    """The base of all errors of this package; ``exit_code`` is the exit code of the command."""

    exit_code = 1


class UsageError(PipelineError):
    """The command or call asks for something impossible."""

    exit_code = 2


class MalformedError(PipelineError):
    """An input file or value does not have the form that it should have."""

    exit_code = 3


class UnsafeError(PipelineError):
    """Continuing could run foreign code or touch files outside the folder."""

    exit_code = 4


class IntegrityError(PipelineError):
    """The digest of a file does not match."""

    exit_code = 5


class ParityError(PipelineError):
    """An exported model does not give PyTorch's numbers, or breaks the model contract."""

    exit_code = 6


class UnavailableError(PipelineError):
    """A runtime or provider that was asked for is not on this machine."""

    exit_code = 7


class StorageError(PipelineError):
    """The file system refused: full, forbidden, or in use by another run."""

    exit_code = 8


BY_EXIT_CODE = {error.exit_code: error for error in PipelineError.__subclasses__()}


def one_line(error: Exception) -> str:
    """An error of a library as one line: its type, then its message, or its first sentences."""
    message = " ".join(str(error).split())
    if len(message) > _LONGEST:
        begin = message[:_LONGEST]
        sentences, end, _ = begin.rpartition(". ")
        message = f"{sentences}." if end else f"{begin.rpartition(' ')[0]} …"
    return f"{type(error).__name__}: {message}"


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for an unknown name, which suggests the nearest of the ``known`` ones."""
    names = list(known)
    nearest = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean '{nearest[0]}'?" if nearest else f"choose from {', '.join(names)}"
    return UsageError(f"no {kind} is called '{name}'; {hint}")


def either(words: Iterable[str]) -> str:
    """Words to choose from, in a sentence: ``a``, ``a or b``, ``a, b or c``."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last
