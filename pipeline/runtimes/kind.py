"""A kind of runtime: the description of one runtime, beside the class that calls models with it.

To add a runtime, add a file to this folder that defines ``KIND``; no other file changes. That file
is imported wherever runtimes are listed, so it imports its library only in the functions that need
it. The process in which the runtime runs imports that file alone, and so loads no other runtime.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipeline.contract import Bundle
from pipeline.runtimes.base import Runtime
from pipeline.runtimes.converter import Converter

PROVIDERS = ("cpu", "cuda")  # providers that can be asked for everywhere; a build may have more

Opener = Callable[[], Runtime]


@dataclass(frozen=True)
class Kind:
    """A runtime, and how it opens a model file on a provider.

    ``name`` is its name in commands. ``help`` says what runs, and ``limits`` what it cannot run or
    runs differently; neither ends in a full stop. ``openers`` takes the bytes of the model file and
    a provider, and returns one opener for each row. An opener is pickled and called in the process
    of the runtime.

    ``package`` is the Python package to install. It comes with one of the ``extras`` of this
    project, or always if there are none. An optional runtime has a ``requirement`` (the package and
    its versions) and an extra of the same name as its package. ``why_absent`` returns the reason
    why an installed runtime cannot use a provider, and what to do.

    If it ``runs_code``, ``file`` is a program that must be trusted. If it ``has_loops``, that file
    also holds the loop, which other runtimes read from a file of its own. Where ``file`` is
    ``built`` from a bundle, bundles do not hold it, and it has no loop; what cannot be built raises
    a UsageError or an UnavailableError that says why. With a ``converter``, ``file`` is a step
    graph, which is in a bundle only where it was asked for, and has no loop.
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
    built: Callable[[Bundle], bytes] | None = None
    converter: Converter | None = None

    @property
    def optional(self) -> bool:
        """Whether it can be left uninstalled."""
        return bool(self.requirement)
