"""Cases spread over processes, and what was found of each."""

import json
import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from pipeline.errors import one_line

Case = TypeVar("Case")


@dataclass(frozen=True)
class Finding:
    """One bad outcome: the case, the command that read it, and what was wrong."""

    case: str
    command: str
    fault: str


@dataclass(frozen=True)
class Plan:
    """How much of a stage is done: so many cases by that seed in so many processes.

    ``most`` limits the commands that read one case; which, the name of the case decides.
    """

    count: int
    seed: int = 1
    jobs: int = 1
    most: int = 99

    def some(self, commands: Sequence[Case], case: object) -> Sequence[Case]:
        """As many of ``commands`` as are wanted for ``case``, in their order."""
        if len(commands) <= self.most:
            return commands
        chosen = random.Random(f"{self.seed} {case}").sample(range(len(commands)), self.most)
        return [commands[number] for number in sorted(chosen)]


@dataclass
class Count:
    """What one stage has counted so far; ``readings`` are the commands that were run for it."""

    stage: str
    what: str
    cases: int = 0
    readings: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """How many different cases had a bad outcome."""
        return len({finding.case for finding in self.findings})

    def add(self, readings: int, findings: Sequence[Finding]) -> None:
        """Count one more case."""
        self.cases += 1
        self.readings += readings
        self.findings += findings

    def kinds(self) -> list[tuple[int, Finding]]:
        """How often each kind of fault was found, with one example of it, most frequent first."""
        examples: dict[tuple[str, str], Finding] = {}
        for finding in self.findings:
            examples.setdefault(_kind(finding), finding)
        often = Counter(map(_kind, self.findings))
        return [(number, examples[kind]) for kind, number in often.most_common()]

    def json(self) -> dict[str, object]:
        """For machines."""
        return {**asdict(self), "bad": self.bad}


def _kind(finding: Finding) -> tuple[str, str]:
    """The command without its options, and the fault without what differs from case to case."""
    words = [word for word in finding.command.split() if not word.startswith("-")]
    return " ".join(words[:3]), "".join(c for c in finding.fault if not c.isdigit())[:80]


Judged = tuple[int, list[Finding]]


def spread(
    judge: Callable[[Case], Judged], cases: Sequence[Case], jobs: int
) -> Iterator[tuple[Case, Judged]]:
    """``judge`` of every case, as they come, in ``jobs`` forks of this process.

    A fork knows the cases, so only numbers and findings travel. With one job it all happens here.
    """
    if jobs == 1:
        for case in cases:
            yield case, _judged(judge, case)
        return
    global _judge_number
    _judge_number = lambda number: _judged(judge, cases[number])  # noqa: E731
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        futures = {pool.submit(_judge_in_fork, number): number for number in range(len(cases))}
        for future in as_completed(futures):
            yield cases[futures[future]], future.result()


def _judged(judge: Callable[[Case], Judged], case: Case) -> Judged:
    """``judge`` of ``case``; where the suite itself fails, that is found, and the rest goes on."""
    try:
        return judge(case)
    except Exception as error:
        return 0, [Finding(str(case), "", f"the suite itself fails: {one_line(error)}")]


_judge_number: Callable[[int], Judged]  # what the forks of spread have to do


def _judge_in_fork(number: int) -> Judged:
    return _judge_number(number)


def as_json(counts: Sequence[Count]) -> str:
    """All that was counted."""
    return json.dumps([count.json() for count in counts], ensure_ascii=False, indent=2)
