"""A kind of runtime: all that is to be said of one, beside the class that calls models with it.

To add one, add a file beside this one that calls it ``KIND``. Nothing else has to know of it. That
file is imported wherever runtimes are listed, so it imports its library in the functions that need
it; and it is imported by the process in which the runtime runs, which thus loads no other.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipeline.runtimes.base import Runtime

PROVIDERS = ("cpu", "cuda")  # those that can be asked for on every machine; a build may have more

Opener = Callable[[], Runtime]


@dataclass(frozen=True)
class Kind:
    """A runtime, and how it opens a model file on a provider; each opener is a row of its own.

    ``name`` is what commands call it; ``help`` says what runs, and ``limits`` what it is known not
    to run, or to run otherwise, both without the last full stop. Openers are pickled, and called in
    a process of the runtime's own.

    ``package`` is what has to be installed. It comes with one of the ``extras`` of this project, or
    always. One that need not be there has a ``requirement``, which says its versions too, and an
    extra that is called like its package. ``why_absent`` says why one that is installed cannot use
    a provider, and what to do.

    The ``file`` of one that ``runs_code`` is a program, which has to be trusted. One that
    ``has_loops`` finds graphs with the loop inside in that file too, and not in files beside it.
    """

    name: str
    format: str
    package: str
    file: str
    openers: Callable[[bytes, str], Sequence[Opener]]
    help: str
    limits: str = ""
    providers: Callable[[], Iterable[str]] = lambda: PROVIDERS[:1]
    why_absent: Callable[[str], str | None] = lambda provider: None
    extras: tuple[str, ...] = ()
    requirement: str = ""
    runs_code: bool = False
    has_loops: bool = False

    @property
    def optional(self) -> bool:
        """Whether it need not be there."""
        return bool(self.requirement)
