"""kill -9 at random moments of every stage: just before a change to its folder, or at any time."""

import os
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from torture.events import counting, killing
from torture.originals import Originals, scratch
from torture.spread import Count, Finding, Judged, Plan, spread
from torture.stages import STAGES, Before, Stage, run, tree
from torture.verdict import fault_of


@dataclass(frozen=True)
class Kill:
    """The moment at which a stage is killed: before a change, counted from 0, or after seconds."""

    before: Before
    change: int | None
    seconds: float | None

    def __str__(self) -> str:
        if self.change is not None:
            return f"{self.before.stage} before change {self.change} of {self.before.changes}"
        return f"{self.before.stage} after {self.seconds:.3f} of {self.before.seconds:.3f} s"


def undisturbed(originals: Originals, stage: Stage) -> Before:
    """Run a stage with nothing in its way.

    Raises:
        RuntimeError: it does not even end well then.
    """
    with scratch() as place, tempfile.TemporaryFile() as tally:
        folder = stage.prepare(originals, place / "copy")
        old = tree(folder / stage.artefact)
        ended = run(stage, folder, prepare=counting(folder, tally.fileno()))
        if ended.code:
            raise RuntimeError(f"{ended.command} ended with {ended.code}: {ended.err[-1000:]}")
        changes = os.fstat(tally.fileno()).st_size
        names = frozenset(tree(folder))
        return Before(stage, old, tree(folder / stage.artefact), names, changes, ended.seconds)


def draw(befores: list[Before], count: int, seed: int) -> Iterator[Kill]:
    """``count`` kills, over all stages in turn; two of three at a change."""
    chance = random.Random(seed)
    for number in range(count):
        before = befores[number % len(befores)]
        if chance.random() < 2 / 3:
            yield Kill(before, chance.randrange(before.changes), None)
        else:
            yield Kill(before, None, chance.uniform(0, before.seconds))


def judge(originals: Originals, kill: Kill) -> Judged:
    """Kill the stage, look at what is there, run it again, and look once more."""
    before, stage = kill.before, kill.before.stage
    with scratch() as place:
        folder = stage.prepare(originals, place / "copy")
        if kill.change is not None:
            run(stage, folder, prepare=killing(folder, kill.change))
        else:
            run(stage, folder, kill_after=kill.seconds)
        broken = before.broken(folder)
        again = run(stage, folder)
        stuck = fault_of(again) or (again.code and f"stuck: exit code {again.code}: {again.err}")
        wrong = broken or stuck or before.unfinished(folder)
    return 2, [Finding(str(kill), again.command, wrong)] if wrong else []


def kills(originals: Originals, plan: Plan) -> Iterator[Count]:
    """Count kills; what was counted so far is given after each."""
    counted = Count("kills", "kill -9 in every stage, which is then run again")
    befores = [undisturbed(originals, stage) for stage in STAGES[: plan.count]]
    cases = list(draw(befores, plan.count, plan.seed))
    for _, (readings, findings) in spread(partial(judge, originals), cases, plan.jobs):
        counted.add(readings, findings)
        yield counted
