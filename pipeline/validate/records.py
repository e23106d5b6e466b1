"""What a validation found: ``validation.json``."""

import os
from typing import Any, Literal

from pydantic import Field

from pipeline.config import Digest, Record
from pipeline.contract.bundle import VALIDATION_FILE, Bundle
from pipeline.contract.law import Precision, Tolerance
from pipeline.seal import read_record, schema_of

SCHEMA_FILE = "validation.schema.json"

Status = Literal["pass", "fail", "not run"]


class Worst(Record):
    """Where a case came closest to its tolerance, or went farthest beyond it."""

    tensor: str
    index: tuple[int, ...]
    expected: float
    found: float | None = Field(description="null: NaN or infinite")


class CaseRecord(Record):
    """One case on one runtime; errors are the largest absolute differences.

    ``output_error`` and ``state_error`` are against the float64 twin, ``pytorch_difference``
    is that of both from PyTorch's float32, and ``share`` is the largest error as a share of what
    it was allowed. An error that is null is NaN or infinite; without a state, ``state_error`` is 0.
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
        (), description="of a long stream: the largest error of output in each hundredth of it"
    )


class FreeRun(Record):
    """A runtime fed with its own outputs, beside PyTorch fed with its own.

    A text differs at the first other character; it is a tie if the two are no further apart than
    the tolerance. A forecast differs where it is further off than the float64 twin's would be if
    each of its numbers, those of the state among them, were off by the tolerance.
    """

    steps: int = Field(description="compared, counted from the first that was not given")
    first_difference: int | None = Field(description="counted from 0; null: there is none")
    tie: bool
    note: str
    passed: bool


class Replay(Record):
    """What an embedded client says of the golden trajectories that it replayed.

    Errors are the largest absolute differences; an error that is null is NaN or infinite.
    """

    target: str
    runtime: str = Field(description="what ran the model, with its version")
    model: str
    calls: int = Field(ge=1)
    output: float | None
    next_state: float | None = Field(description="0 without a state")
    share: float | None = Field(description="largest error as a share of what was allowed")
    microseconds_per_step: float = Field(gt=0, description="batch 1, the state carried")
    passed: bool


class Row(Record):
    """All cases of one graph of a model in one format with one runtime on one provider."""

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
        False, description="not run since its file is code, and nothing says whose; see the reason"
    )
    note: str = Field("", description="what a reader of the row must know of the runtime")
    precision: Precision = Field("float32", description="what it computes in")
    tolerance: Tolerance | None = Field(None, description="by which it was judged; null: not run")
    placement: dict[str, str] = Field(default_factory=dict)
    output_error: float | None = None
    state_error: float | None = None
    pytorch_difference: float | None = Field(
        None, description="largest difference from PyTorch's float32 on inputs of the task"
    )
    share: float | None = Field(None, description="largest error as a share of what was allowed")
    seconds: float = 0.0
    cases: tuple[CaseRecord, ...] = ()
    free_run: FreeRun | None = Field(
        None, description="null: it was not reached, or the model does not forecast its own input"
    )
    replay: Replay | None = Field(
        None, description="of a project that embeds the model, in place of cases"
    )

    @property
    def compared(self) -> int:
        """How many cases were compared, or calls replayed."""
        return self.replay.calls if self.replay else len(self.cases)

    @property
    def label(self) -> str:
        """The runtime, and what it runs where that is not the model itself."""
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
        None, description="by which the user who validated knows it; it means nothing to others"
    )

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing failed."""
        ran = [row.status for row in self.rows if row.status != "not run"]
        return bool(ran) and set(ran) == {"pass"}

    def with_row(self, row: Row) -> "Validation":
        """The same with ``row``, in place of one of its format and provider."""
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
    """The validation in a bundle, of whatever files it was; None if there is none.

    Raises:
        MalformedError: it is not one, or no regular file.
        IntegrityError: it was changed.
        UnsafeError: a link stands in its place.
        StorageError: it cannot be read.
    """
    if not os.path.lexists(bundle.folder / VALIDATION_FILE):
        return None
    return read_record(
        bundle.folder, VALIDATION_FILE, "a validation", Validation, "validate it anew"
    )
