"""A bundle opened to be run: its manifest, and the one graph that has the loop inside.

``pipeline.bundle`` reads all of a bundle and needs torch; this reads what a run needs, without.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pipeline.config import ModelConfig, SeriesModel
from pipeline.errors import IntegrityError, MalformedError, UnavailableError, UsageError, one_line
from pipeline.signature import MANIFEST_FILE, STATE, Loop, check_format, loop
from pipeline.storage import read_file, read_json, safe_path, sha256
from pipeline.threads import session_options, weights_in


class _Part(BaseModel):
    """A part of the manifest of which only the keys named here are looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _File(_Part):
    sha256: str
    bytes: int


class DataSource(_Part):
    """What a series model was trained on: the columns in the order of its input, ids, and times."""

    columns: tuple[str, ...] = ()
    id: str | None = None
    time: str | None = None
    resample: str | None = None


class Facts(_Part):
    """What a run needs to know; ``spread`` is in raw units, None where it is unknown."""

    name: str
    task: Literal["series", "text"]
    model: ModelConfig
    source: DataSource
    vocabulary: str | None
    files: dict[str, _File]
    loop: Loop | None = None
    spread: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _parts_fit(self) -> "Facts":
        if self.model.task != self.task or (self.task == "text") != bool(self.vocabulary):
            raise ValueError("model and vocabulary are not of the same task")
        contract = loop(self.model)
        if self.loop is not None and (contract is None or contract.name != self.loop.name):
            raise ValueError(f"the model has no graph '{self.loop.name}'")
        return self


@dataclass(frozen=True)
class Runnable:
    """A model that is ready to be called."""

    facts: Facts
    session: onnxruntime.InferenceSession

    def call(self, feeds: Mapping[str, NDArray[Any]], *outputs: str) -> list[NDArray[Any]]:
        """The named ``outputs`` of one call of the graph."""
        results: list[NDArray[Any]] = self.session.run(outputs, dict(feeds))
        return results

    @property
    def width(self) -> int:
        """How many columns a series model reads, and forecasts."""
        assert isinstance(self.facts.model, SeriesModel)
        return self.facts.model.targets

    def zero_state(self) -> NDArray[np.float32]:
        """The state ``[1, S, hidden]`` that starts one stream."""
        assert self.facts.loop is not None
        spec = next(spec for spec in self.facts.loop.inputs if spec.name == STATE)
        return np.zeros([1, *(axis for axis in spec.shape if isinstance(axis, int))], np.float32)


def read_facts(folder: Path) -> Facts:
    """What the manifest in ``folder`` says.

    Raises:
        MalformedError: it is missing, of a newer format, or lacks what a run needs.
        StorageError: it cannot be read.
    """
    path = folder / MANIFEST_FILE
    content = read_json(path, "the manifest")
    check_format(content, str(path))
    try:
        return Facts.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the top"
        raise MalformedError(f"{path}: {first['msg']} at {place}; export it anew") from error


def open_graph(folder: Path, facts: Facts) -> Runnable:
    """The graph with the loop, on the CPU.

    Raises:
        UsageError: the model cannot be fed with its own outputs.
        MalformedError: the bundle was written without the graph, or the file is missing.
        IntegrityError: the file is not the one that was exported.
        UnavailableError: this ONNX Runtime cannot load it.
    """
    if facts.loop is None:
        raise _why_none(folder, facts)
    name = facts.loop.file
    entry = facts.files.get(name)
    if entry is None:
        raise MalformedError(f"{folder / MANIFEST_FILE} lists no {name}; export it anew")
    path = folder / safe_path(name)
    data = read_file(path, "a file of the bundle")
    if (len(data), sha256(data)) != (entry.bytes, entry.sha256):
        raise IntegrityError(f"{path} was changed after its export; export it anew")
    options = session_options(weights_in(data))
    options.enable_cpu_mem_arena = False  # for the small tensors of a step, malloc is faster
    try:
        session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions have no common class
        raise UnavailableError(
            f"onnxruntime {onnxruntime.__version__} cannot load {path} ({one_line(error)}); "
            "install a newer one"
        ) from error
    return Runnable(facts, session)


def _why_none(folder: Path, facts: Facts) -> MalformedError | UsageError:
    model = facts.model
    if model.bidirectional:
        return UsageError(
            f"{facts.name} reads whole sequences in both directions and cannot go on from its own "
            "outputs; call its onnx/model.onnx on windows, or train one without --bidirectional"
        )
    if isinstance(model, SeriesModel) and not model.forecasts_its_input:
        return UsageError(
            f"{facts.name} reads {model.features} columns and forecasts {model.targets}, so it "
            "cannot go on from its own outputs; call its onnx/model.onnx step by step, or train "
            "one with every column as --target"
        )
    return MalformedError(
        f"{folder} was exported by an earlier version, without the graph that runs; run 'pipeline "
        f"export {facts.name}'"
    )
