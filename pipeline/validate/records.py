"""The records of a validation, and ``validation.json``, which holds them."""

import os
from typing import Any, Literal

from pydantic import AliasChoices, Field

from pipeline.config import Digest, Record
from pipeline.contract.bundle import Bundle
from pipeline.contract.files import VALIDATION_FILE
from pipeline.contract.law import Precision, Tolerance
from pipeline.seal import read_record, schema_of

Status = Literal["pass", "fail", "not run"]


class Worst(Record):
    """The number of a case that is closest to its tolerance, or farthest beyond it."""

    tensor: str
    index: tuple[int, ...]
    expected: float
    found: float | None = Field(description="null if it is NaN or infinite")


class CaseRecord(Record):
    """One case on one runtime; errors are the largest absolute differences.

    ``output_error`` and ``state_error`` are differences from the float64 twin, and
    ``pytorch_difference`` is the larger of both differences from PyTorch's float32. ``share`` is
    the largest ratio of an error to its limit. An error that is null is NaN or infinite; without a
    state, ``state_error`` is 0.
    """

    case: str
    batch: int
    time: int
    calls: int
    of_the_task: bool
    ill_conditioned: bool
    output_error: float | None
    state_error: float | None
    pytorch_difference: float | None
    share: float | None
    worst: Worst
    passed: bool
    curve: tuple[float | None, ...] = Field(
        (), description="for a long stream: the largest output error in each hundredth of it"
    )


class FreeRun(Record):
    """A runtime that is fed with its own outputs, compared with PyTorch fed with its own.

    A text differs at the first other character; it is a tie if the logits of the two characters are
    no further apart than the tolerance. A forecast differs at the first step that is further off
    than the float64 twin's would be if each number of its outputs and states were off by the
    tolerance.
    """

    steps: int = Field(description="steps compared, counted from the first that was not given")
    first_difference: int | None = Field(
        description="first step that differs, counted from 0; null if there is none"
    )
    tie: bool
    note: str
    passed: bool


class Replay(Record):
    """The report of an embedded client that replayed the golden trajectories.

    ``outputs`` and ``states`` are the largest absolute differences in all tensors of that kind; an
    error that is null is NaN or infinite. Earlier versions called them output and next_state.
    """

    target: str
    runtime: str = Field(description="name and version of the runtime that ran the model")
    model: str
    calls: int = Field(ge=1)
    outputs: float | None = Field(validation_alias=AliasChoices("outputs", "output"))
    states: float | None = Field(
        validation_alias=AliasChoices("states", "next_state"), description="0 without a state"
    )
    share: float | None = Field(description="largest ratio of an error to its limit")
    microseconds_per_step: float = Field(gt=0, description="at batch 1, with the state carried")
    passed: bool


class Row(Record):
    """The results of one graph of a model, in one format, with one runtime on one provider."""

    # Whatever runs a graph has such a row: the model, the loop, the client of a project. They are
    # judged by one rule and stand in one table; ``graph`` and ``replay`` tell them apart.

    model: str
    graph: Literal["model", "generate", "forecast"] = Field(
        "model", description="the model itself, or the graph with the loop inside"
    )
    format: str
    runtime: str
    provider: str
    status: Status
    reason: str = ""
    unsafe: bool = Field(
        False, description="not run because its file is code that is not trusted; see the reason"
    )
    note: str = Field("", description="what a reader of the row must know about the runtime")
    precision: Precision = Field("float32", description="precision that the runtime computes in")
    tolerance: Tolerance | None = Field(
        None, description="tolerance by which the row was judged; null if it did not run"
    )
    placement: dict[str, str] = Field(default_factory=dict)
    output_error: float | None = None
    state_error: float | None = None
    pytorch_difference: float | None = Field(
        None, description="largest difference from PyTorch's float32 on inputs of the task"
    )
    share: float | None = Field(None, description="largest ratio of an error to its limit")
    seconds: float = 0.0
    cases: tuple[CaseRecord, ...] = ()
    free_run: FreeRun | None = Field(
        None, description="null if it was not reached, or the model does not forecast its own input"
    )
    replay: Replay | None = Field(
        None, description="replay by a project that embeds the model, in place of cases"
    )

    @property
    def compared(self) -> int:
        """The number of cases compared, or of calls replayed."""
        return self.replay.calls if self.replay else len(self.cases)

    @property
    def label(self) -> str:
        """The runtime, followed by the graph that it runs if that is not the model itself."""
        return self.runtime if self.graph == "model" else f"{self.runtime}, {self.graph}"


class Validation(Record):
    """The content of ``validation.json``."""

    format: Literal[1] = 1
    model: str
    bundle_sha256: Digest
    providers: tuple[str, ...]
    runtimes: tuple[str, ...]
    tolerance: Tolerance
    versions: dict[str, str]
    machine: str
    rows: tuple[Row, ...]
    mark: str | None = Field(
        None,
        description="HMAC by which the user who validated recognizes the file; others ignore it",
    )

    @property
    def passed(self) -> bool:
        """Whether at least one row ran and no row failed."""
        ran = [row.status for row in self.rows if row.status != "not run"]
        return bool(ran) and set(ran) == {"pass"}

    def _repr_html_(self) -> str:
        from pipeline.validate.shown import validation_html

        return validation_html(self)

    def with_row(self, row: Row) -> "Validation":
        """A copy with ``row`` in place of any row of the same format and provider."""
        others = [
            other
            for other in self.rows
            if (other.format, other.provider) != (row.format, row.provider)
        ]
        return self.model_copy(update={"rows": (*others, row)})


def validation_schema() -> dict[str, Any]:
    """The JSON schema of ``validation.json``, as committed in ``exported/``."""
    return schema_of(Validation)


def read_validation(bundle: Bundle) -> Validation | None:
    """The validation in a bundle, which may be of earlier files; None if there is none.

    Raises:
        MalformedError: ``validation.json`` is no validation, or no regular file.
        IntegrityError: ``validation.json`` was changed.
        UnsafeError: ``validation.json`` is a link.
        StorageError: ``validation.json`` cannot be read.
    """
    if not os.path.lexists(bundle.folder / VALIDATION_FILE):
        return None
    return read_record(
        bundle.folder, VALIDATION_FILE, "a validation", Validation, "validate it anew"
    )
