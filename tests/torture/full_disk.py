"""Every stage on a disk that is full, at each write: a small tmpfs, or a write that is refused.

The free space grows from nothing until the stage passes. Where nothing can be mounted, every
change that takes space is refused once instead, as a full disk would.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.errors import StorageError
from torture.events import failing
from torture.forked import Ended
from torture.kills import undisturbed
from torture.originals import Originals, scratch
from torture.spread import Count, Finding, Judged, Plan, spread
from torture.stages import STAGES, Before, run, tree
from torture.verdict import fault_of

_PAGE = 4096  # bytes; a tmpfs counts in these
_SIZE = 64 * 2**20
_MOST = 400  # steps until a stage must have passed


@dataclass(frozen=True)
class Full:
    """A stage with ``pages`` of free space, or one whose change ``change`` finds none."""

    before: Before
    pages: int | None = None
    change: int | None = None

    def __str__(self) -> str:
        if self.pages is not None:
            return f"{self.before.stage} with {self.pages} pages free"
        return f"{self.before.stage} with no space at change {self.change}"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own at ``folder``.

    Raises:
        OSError: it cannot be mounted here, as without the rights of root.
    """
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={_SIZE}", "none", str(folder)]
    done = subprocess.run(["mount", *options], capture_output=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount() -> str:
    """Why no file system can be mounted here; nothing if one can."""
    try:
        with scratch() as place, small_disk(place / "disk"):
            return ""
    except OSError as error:
        return str(error)


def judge_disk(originals: Originals, before: Before) -> Judged:
    """One stage on a small disk, with one page more each time, until it passes."""
    findings, runs = [], 0
    with scratch() as place, small_disk(place / "disk") as disk:
        for pages in range(_MOST):
            folder = before.stage.prepare(originals, disk / "copy")
            case = str(Full(before, pages=pages))
            ballast = disk / "ballast"
            _fill(ballast, disk, pages)
            ended = run(before.stage, folder)
            runs += 1
            ballast.unlink()
            wrong = _wrong(before, folder, ended)
            if wrong:
                findings.append(Finding(case, ended.command, wrong))
            shutil.rmtree(folder)
            if ended.code == 0:
                return runs, findings
    findings.append(Finding(str(before.stage), "", f"does not pass with {_MOST} pages"))
    return runs, findings


def _fill(ballast: Path, disk: Path, pages: int) -> None:
    """Leave just ``pages`` free."""
    free = shutil.disk_usage(disk).free // _PAGE
    with ballast.open("wb") as file:
        for _ in range(free - pages):
            file.write(b"\0" * _PAGE)


def _wrong(before: Before, folder: Path, ended: Ended) -> str:
    if fault := fault_of(ended):
        return fault
    if ended.code == 0:
        return before.unfinished(folder)
    if ended.code != StorageError.exit_code:
        return f"exit code {ended.code}: {ended.err[-200:]}"
    left = [name for name in tree(folder) if name.endswith((".tmp", ".previous", ".lock"))]
    return before.broken(folder) or (left and f"left behind: {left}") or ""


def judge_change(originals: Originals, full: Full) -> Judged:
    """One stage that finds no space at one of its changes."""
    assert full.change is not None
    with scratch() as place:
        folder = full.before.stage.prepare(originals, place / "copy")
        ended = run(full.before.stage, folder, prepare=failing(folder, full.change))
        wrong = _wrong(full.before, folder, ended)
    return 1, [Finding(str(full), ended.command, wrong)] if wrong else []


def full_disk(originals: Originals, plan: Plan) -> Iterator[Count]:
    """The first ``plan.count`` stages at all their writes; counted so far, after each."""
    counted = Count("full-disk", "disk full at each write of each stage, step by step")
    befores = [undisturbed(originals, stage) for stage in STAGES[: plan.count]]
    refused = [Full(before, change=n) for before in befores for n in range(before.changes)]
    if reason := can_mount():
        counted.notes.append(f"no small disk can be mounted here ({reason}); writes are refused")
    else:
        for _, found in spread(partial(judge_disk, originals), befores, plan.jobs):
            counted.cases += found[0] - 1
            counted.add(*found)
            yield counted
    for _, found in spread(partial(judge_change, originals), refused, plan.jobs):
        counted.add(*found)
        yield counted
