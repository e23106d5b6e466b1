"""What is prepared once for a bundle, before its runtimes are run."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.runtimes.base import Runtime
from pipeline.validate.answered import Answered
from pipeline.validate.records import Row


def _no_loops(failed: Container[tuple[str, str]]) -> Iterator[Row]:
    return iter(())


@dataclass(frozen=True)
class Prepared:
    """The answers that a bundle's runtimes are judged by, and all else that its rows need.

    ``audits`` lists the faults in the weights of a file, by its format, and ``notes`` what readers
    of a row of that format should know. ``itself`` is the model in PyTorch, as a row of its own.
    ``loops`` gives the rows of the graph with the loop inside, without those runtimes and providers
    whose row has failed. A runtime that cannot open the model fails its row, unless it may do so
    (``may_refuse``): it then has not run.
    """

    answered: Answered
    audits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    itself: Sequence[Runtime] = ()
    loops: Callable[[Container[tuple[str, str]]], Iterator[Row]] = _no_loops
    may_refuse: Container[str] = ()
