"""Every way the pipeline refuses, and the exit code of each.

PipelineError
├── UsageError        2   wrong usage: an unknown name, an option that cannot be
├── MalformedError    3   malformed input: not a checkpoint, truncated, wrong shape, missing key
├── UnsafeError       4   refused as unsafe: a path that leaves its folder, code of strangers
├── IntegrityError    5   a digest does not match
├── ParityError       6   numbers do not match
├── UnavailableError  7   a provider or runtime that was asked for is not there
└── StorageError      8   disk full, no permission, file busy

A message is one line: what was wrong, where, and what to do. Only ``cli/`` prints and exits.
"""

from collections.abc import Iterable
from difflib import get_close_matches

INTERRUPTED = 130  # 128 + SIGINT, the shell's own convention


class PipelineError(Exception):
    """Base of all errors of this package; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UsageError(PipelineError):
    """The command or call asks for something that cannot be."""

    exit_code = 2


class MalformedError(PipelineError):
    """An input file or value is not what it should be."""

    exit_code = 3


class UnsafeError(PipelineError):
    """Going on could run foreign code or touch files outside the folder."""

    exit_code = 4


class IntegrityError(PipelineError):
    """A file is not the one its digest was taken from."""

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
    """An error that is not ours, by its type and the beginning of what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = list(known)
    nearest = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean '{nearest[0]}'?" if nearest else f"choose from {', '.join(names)}"
    return UsageError(f"no {kind} is called '{name}'; {hint}")


def either(words: Iterable[str]) -> str:
    """Words to choose from, in a sentence: ``a``, ``a or b``, ``a, b or c``."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last
