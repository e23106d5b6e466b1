"""``manifest.json``: the contract of a model, and all facts on it; its JSON schema."""

import math
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from pipeline.config import Digest, ImportedSource, Line, ModelConfig, Name, Record, Source
from pipeline.contract.checks import check_network
from pipeline.contract.files import (
    CARD_FILE,
    GOLDEN_FILE,
    INITIAL_FILE,
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    WEIGHTS_FILE,
)
from pipeline.contract.law import TOLERANCES, Precision, Tolerance
from pipeline.contract.records import Scaler, Spread, TrainingRecord, Versions
from pipeline.contract.tensors import (
    Axis,
    Contract,
    HeldOutData,
    Integers,
    Normal,
    StatePair,
    TensorSpec,
)
from pipeline.contract.variant import Variant
from pipeline.network_tensors import Loop
from pipeline.reading import JSON_LIMIT
from pipeline.seal import schema_of

FORMAT: Literal[2] = 2  # of manifests and golden data that are written

_COPIES = 4  # largest number of copies of the weights in one file
_LARGEST = 2**26  # numbers in a tensor whose dynamic axes are 1
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")  # of tensors and axes


class FileEntry(Record):
    """Digest and size of one file of the bundle."""

    sha256: Digest
    bytes: int = Field(ge=0)
    sizes: dict[str, int] | None = Field(
        None,
        description="the one size that each dynamic axis has in this file, such as batch 1 and "
        "time 1 in a step graph; absent where the axes are as the contract says",
    )

    @model_serializer(mode="wrap")
    def _without_sizes(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write(self)
        return {key: value for key, value in content.items() if value or key != "sizes"}


class ModuleRecord(Record):
    """What is known of a module that a user wrote.

    ``float64`` says whether its TorchScript gives the results of the module in float64, too.
    ``states`` says for every state in which place of the module it is kept.
    """

    class_name: Line
    float64: bool
    states: tuple[Line, ...]


class Manifest(Record):
    """The content of ``manifest.json``, apart from its seal.

    The contract is ``inputs``, ``outputs``, ``states``, ``axes`` and ``tolerance``. ``task`` to
    ``training`` are facets that not every model has. Either ``model`` is the configuration of a
    built-in network, or ``module`` describes a user's module.
    """

    format: Literal[2]
    name: Name
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    states: tuple[StatePair, ...] = Field(description="empty for a model of whole sequences")
    axes: dict[str, Axis]
    tolerance: dict[Precision, Tolerance]
    opset: int = Field(ge=18, le=99)
    task: Literal["series", "text"] | None
    loop: Loop | None = Field(
        description="the graph with the loop inside, onnx/<name>.onnx; null if the outputs cannot "
        "be the next inputs"
    )
    window: int | None = Field(
        ge=1,
        description="steps that a network of whole sequences was trained on; null if unknown, and "
        "for a network with a state",
    )
    spread: tuple[Spread, ...] | None = Field(
        description="standard deviation of the one-step residuals of each target, raw units; null "
        "for text, and if unknown"
    )
    scaler: Scaler | None
    vocabulary: str | None
    source: Source | ImportedSource | None
    training: TrainingRecord | None
    model: ModelConfig | None
    module: ModuleRecord | None
    parameters: int = Field(ge=0)
    checkpoint_sha256: Digest | None
    versions: Versions
    variant: Variant | None = Field(
        None, description="how the weights are stored small; absent where they are all float32"
    )
    files: dict[str, FileEntry]

    @model_serializer(mode="wrap")
    def _without_a_variant(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write(self)
        return {key: value for key, value in content.items() if value or key != "variant"}

    @model_validator(mode="after")
    def _parts_fit(self) -> "Manifest":
        self._check_tensors()
        self._check_states()
        self._check_tolerance()
        if (self.model is None) == (self.module is None):
            raise ValueError("it must have either a model or a module")
        if self.model is not None:
            check_network(self, self.model)
        self._check_files()
        return self

    def _check_tensors(self) -> None:
        specs = (*self.inputs, *self.outputs)
        names = [spec.name for spec in specs]
        if len(set(names)) < len(names):
            raise ValueError("two tensors have the same name")
        for word in (*names, *self.axes):
            if not _WORD.fullmatch(word):
                raise ValueError(f"{word[:80]!r} is no name of a tensor or an axis")
        for spec in specs:
            _check_shape(spec, self.axes)
            _check_sample(spec)
        for role in ("batch", "time"):
            if sum(axis.role == role for axis in self.axes.values()) > 1:
                raise ValueError(f"two axes are {role}")
        for axis in self.axes.values():
            if axis.largest is not None and axis.largest < axis.smallest:
                raise ValueError("the largest size of an axis is less than its smallest")

    def _check_states(self) -> None:
        inputs, outputs = (
            {spec.name: spec for spec in side} for side in (self.inputs, self.outputs)
        )
        for pair in self.states:
            before, after = inputs.pop(pair.input, None), outputs.pop(pair.output, None)
            if before is None or after is None or before.form[1:] != after.form[1:]:
                raise ValueError("a state is no pair of an input and an output of the same form")
            if isinstance(pair.initial, str) and pair.initial != INITIAL_FILE:
                raise ValueError(f"a state starts from {pair.initial[:80]}, not {INITIAL_FILE}")
            if isinstance(pair.initial, float) and not _holds(before.type, pair.initial):
                raise ValueError(
                    f"{pair.input} starts from a number that {before.type} cannot hold"
                )
        if not inputs or not outputs:
            raise ValueError("all inputs, or all outputs, are states")

    def _check_tolerance(self) -> None:
        if "float32" not in self.tolerance:
            raise ValueError("tolerance lacks float32")
        for precision, tolerance in self.tolerance.items():
            if not tolerance.within(allowed := TOLERANCES[precision]):
                raise ValueError(
                    f"tolerance allows more than rtol {allowed.rtol}, atol {allowed.atol}"
                )

    def _check_files(self) -> None:
        needed = {CARD_FILE, TORCHSCRIPT_FILE, ONNX_FILE, GOLDEN_FILE, WEIGHTS_FILE}
        if self.loop:
            needed.add(self.loop.file)
        needed.update(pair.initial for pair in self.states if isinstance(pair.initial, str))
        missing = sorted(needed - self.files.keys())
        if missing:
            raise ValueError(f"it lists no {', no '.join(missing)}")
        largest = JSON_LIMIT + _COPIES * 4 * self.parameters
        for name, entry in self.files.items():
            if entry.bytes > largest:
                raise ValueError(f"{name[:80]} is larger than files of such a model are")
            if entry.sizes is not None and (
                entry.sizes.keys() != self.axes.keys()
                or not all(axis.allows(entry.sizes[word]) for word, axis in self.axes.items())
            ):
                raise ValueError(f"{name[:80]} has sizes that are not those of the axes")

    @cached_property
    def contract(self) -> Contract:
        """The tensors of the model, and which of its axes are batch and time."""
        roles = {axis.role: name for name, axis in self.axes.items()}
        return Contract(
            self.inputs,
            self.outputs,
            tuple((pair.input, pair.output) for pair in self.states),
            batch=roles.get("batch"),
            time=roles.get("time"),
        )


def _check_shape(spec: TensorSpec, axes: Iterable[str]) -> None:
    sizes = [axis for axis in spec.shape if not isinstance(axis, str)]
    if any(size < 1 for size in sizes) or math.prod(sizes) >= _LARGEST:
        raise ValueError(f"{spec.name} has a shape that no model has")
    words = [axis for axis in spec.shape if isinstance(axis, str)]
    sample = spec.sample
    if isinstance(sample, Integers) and isinstance(sample.most, str):
        words.append(sample.most)
    if unknown := set(words) - set(axes):
        raise ValueError(f"{spec.name} has an axis that is not in axes: {min(unknown)[:80]}")
    if isinstance(sample, HeldOutData) and not spec.shape:
        raise ValueError(f"{spec.name} has no axis that samples could be cut along")


def _check_sample(spec: TensorSpec) -> None:
    """Raise ValueError for a sample that cannot be drawn, or that ``spec.type`` cannot hold."""
    sample = spec.sample
    if isinstance(sample, Normal):
        fits = abs(sample.mean) + sample.deviation <= _limits(spec.type)[1]
    elif isinstance(sample, Integers):
        bounds = [bound for bound in (sample.least, sample.most) if not isinstance(bound, str)]
        drawn = bounds == sorted(bounds) and all(-(2**63) <= bound < 2**63 for bound in bounds)
        fits = drawn and all(_holds(spec.type, bound) for bound in bounds)
    else:
        fits = True
    if not fits:
        raise ValueError(f"{spec.name} has samples that {spec.type} cannot hold")


def _holds(kind: str, number: float) -> bool:
    """Whether the element type ``kind`` has ``number``, apart from rounding a float."""
    least, most = _limits(kind)
    return least <= number <= most and (kind.startswith("float") or number == int(number))


def _limits(kind: str) -> tuple[float, float]:
    if kind == "bool":
        return 0, 1
    limits = np.finfo(kind) if kind.startswith("float") else np.iinfo(kind)
    return float(limits.min), float(limits.max)


def manifest_schema() -> dict[str, Any]:
    """The JSON schema of ``manifest.json``, as committed in ``exported/``."""
    return schema_of(Manifest)
