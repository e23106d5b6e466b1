"""Everything that a stranger may send, through every command that meets it."""

import os
import random
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from torture.cases import Hostile
from torture.forked import pipeline
from torture.leaves import CANARY
from torture.originals import Originals, scratch
from torture.spread import Count, Finding, Judged, Plan, spread
from torture.strange_contracts import strange_contracts
from torture.strange_files import SECRET, instead_of_files, strange_names, unlisted
from torture.strange_graphs import strange_graphs
from torture.strange_json import (
    lies,
    strange_bytes,
    strange_checkpoints,
    strange_data,
    strange_manifests,
)
from torture.strange_tables import strange_tables, strange_texts
from torture.strange_weights import imports, strange_torchscript, strange_weights
from torture.verdict import fault_of

_LIMIT = 20.0  # seconds that a command may take; a build in C takes 2 of them
_SECRET = b"what nobody but its owner changes"

# Those of few are all drawn before the many that put every value in every place.
WRITTEN_BY_HAND = (
    lies,
    strange_contracts,
    strange_torchscript,
    strange_names,
    instead_of_files,
    strange_weights,
    strange_graphs,
    strange_bytes,
    strange_tables,
    strange_texts,
    imports,
    unlisted,
)
GENERATED = (strange_manifests, strange_checkpoints, strange_data)


def all_cases(originals: Originals, seed: int) -> list[Hostile]:
    """All hostile cases, in an order in which any first part has some of every kind."""
    chance = random.Random(seed)
    kinds = []
    for make in (*WRITTEN_BY_HAND, *GENERATED):
        kind = list(make(originals))
        chance.shuffle(kind)
        kinds.append(kind[::-1])
    mixed = []
    while any(kinds):
        mixed += [kind.pop() for kind in kinds if kind]
    return mixed


def judge(originals: Originals, plan: Plan, case: Hostile) -> Judged:
    """Let every command of the case meet what was spoilt, and look at what became of the rest."""
    findings = []
    commands = plan.some(case.commands, case)
    with scratch() as place:
        outside, temporary = place / "outside", place / "temporary"
        outside.mkdir()
        temporary.mkdir()
        (outside / SECRET).write_bytes(_SECRET)
        folder = case.spoilt(originals, place / "copy")
        before = seen_in(outside)
        for command in commands:
            ended = pipeline(
                command, folder, limit=_LIMIT, prepare=partial(_at_home, temporary), stdin=b""
            )
            fault = fault_of(ended) or crossed(place, before)
            if not fault and ended.code == 0 and command in case.never:
                fault = "unseen: exit code 0 for what is not true"
            if fault:
                findings.append(Finding(str(case), ended.command, fault))
            _forget(place, temporary)
    return len(commands), findings


def _at_home(temporary: Path) -> None:
    """Let a fork keep what it keeps elsewhere where it is seen."""
    tempfile.tempdir = str(temporary)
    settings = str(temporary / "settings")
    os.environ.update(TMPDIR=str(temporary), HOME=str(temporary), XDG_CONFIG_HOME=settings)


def seen_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Every entry of ``folder`` with its size and time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        found[str(path)] = (facts.st_size, facts.st_mtime_ns)
    return found


def crossed(place: Path, before: dict[str, tuple[int, int]]) -> str:
    """What was run, or written outside of the folder, or nothing."""
    canaries = [path for path in place.rglob(CANARY) if path.exists()]
    if canaries:
        return f"runs code: {canaries[0].relative_to(place)} was written"
    if seen_in(place / "outside") != before:
        return f"writes outside: {sorted(seen_in(place / 'outside').items() ^ before.items())[:2]}"
    beside = {path.name for path in place.iterdir()} - {"copy", "outside", "temporary"}
    return f"writes outside: {', '.join(beside)}" if beside else ""


def _forget(place: Path, temporary: Path) -> None:
    """Remove canaries, so that the next command is judged by its own."""
    for path in place.rglob(CANARY):
        path.unlink()


def hostile(originals: Originals, plan: Plan) -> Iterator[Count]:
    """Count hostile cases; what was counted so far is given after each."""
    counted = Count("hostile", "hostile bundles, checkpoints and files, through every command")
    cases = all_cases(originals, plan.seed)
    counted.notes.append(f"drawn from {len(cases):,}")
    judged = spread(partial(judge, originals, plan), cases[: plan.count], plan.jobs)
    for _, (readings, findings) in judged:
        counted.add(readings, findings)
        yield counted
