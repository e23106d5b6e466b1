"""Builds the project of a target, lets it replay the golden trajectories, and judges the result."""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from pipeline.bundle import Bundle
from pipeline.contract.law import LESS_THAN_FLOAT32, Tolerance
from pipeline.embed.building import TIME_LIMIT, build, first_error, run
from pipeline.embed.project import write_project
from pipeline.embed.target import Target
from pipeline.embed.targets import find_target
from pipeline.errors import BY_EXIT_CODE, UnavailableError, UnsafeError, UsageError
from pipeline.trust import Trust
from pipeline.validate import Replay, Row

_MISMATCH = 1  # exit code of a replay whose numbers do not match


@dataclass
class Workshop:
    """A folder in which the project of one target is built, for one bundle after the other.

    ``trust`` says which code may run. Use it in ``with``; the folder is gone afterwards.
    """

    name: str
    time_limit: float = TIME_LIMIT
    trust: Trust = field(default_factory=Trust)
    _folder: tempfile.TemporaryDirectory[str] = field(init=False)

    def __post_init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix=f"pipeline-{self.name}-")

    @property
    def target(self) -> Target:
        """The target whose project is built."""
        return find_target(self.name)

    @property
    def folder(self) -> Path:
        """The folder of the project, inside the temporary one, so that it can be replaced."""
        return Path(self._folder.name, "project")

    def build(self, bundle: Bundle) -> None:
        """Write the project for ``bundle`` and build it.

        Raises:
            UnavailableError: it cannot be built here.
            UnsafeError: it would run code of the bundle that is not trusted.
            PipelineError: it cannot be written.
        """
        self.target.require()
        write_project(bundle, self.target, self.folder, force=True, trust=self.trust)
        build(self.target, self.folder, self.time_limit)

    def replay(self, bundle: Bundle) -> Row:
        """Build the project for ``bundle`` and judge its replay.

        A model that the target cannot or may not run, or a target that is not there, has a row that
        says so.

        Raises:
            PipelineError: it refuses its files.
        """
        started = time.monotonic()
        row = Row(
            model=bundle.manifest.name,
            format=self.target.title,
            runtime=self.name,
            provider="cpu",
            status="not run",
        )
        try:
            self.target.require_trusted(bundle, self.trust)
        except UnsafeError as error:
            return row.model_copy(update={"reason": str(error), "unsafe": True})
        try:
            self.build(bundle)
            found = replay(self.target, self.folder, self.time_limit)
        except (UsageError, UnavailableError) as error:
            return row.model_copy(update={"reason": str(error)})
        row = row.model_copy(update={"seconds": round(time.monotonic() - started, 2)})
        given = bundle.manifest.tolerance["float32"]
        return _judged(row, found, LESS_THAN_FLOAT32.get(self.target.precision, given))

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def __enter__(self) -> "Workshop":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def replay(target: Target, folder: Path, time_limit: float = TIME_LIMIT) -> Replay | str:
    """The report of the replay of the built project in ``folder``, or how it failed.

    Raises:
        PipelineError: it refuses its files; the class follows from its exit code.
    """
    if target.page is not None:
        with target.page.serve(folder, 0) as url:
            return Replay.model_validate(target.page.replay(url, time_limit))
    done = run(target.replay, folder, time_limit)
    if isinstance(done, str):
        return done
    if done.returncode not in (0, _MISMATCH):
        refusal = BY_EXIT_CODE.get(done.returncode)
        if refusal is None:
            return f"ended with exit code {done.returncode}: {first_error(done)}"
        raise refusal(f"{target.title}: {first_error(done)}")
    found = _parsed(done.stdout)
    if isinstance(found, Replay) and found.passed != (done.returncode == 0):
        return f"ended with exit code {done.returncode}, and printed passed as {found.passed}"
    return found


def _parsed(line: str) -> Replay | str:
    try:
        return Replay.model_validate_json(line)
    except ValidationError as error:
        return f"printed no result ({error.errors()[0]['msg']}): {line[:100]!r}"


def _judged(row: Row, found: Replay | str, tolerance: Tolerance) -> Row:
    if isinstance(found, str):
        return row.model_copy(update={"status": "fail", "reason": found})
    return row.model_copy(
        update={
            "runtime": f"{row.runtime}, {found.runtime}",
            "status": "pass" if found.passed else "fail",
            "reason": "" if found.passed else "the golden trajectories come out otherwise",
            "tolerance": tolerance,
            "output_error": found.outputs,
            "state_error": found.states,
            "share": found.share,
            "replay": found,
        }
    )
