"""The rules of the Triton Inference Server for a stateful model, applied with ONNX Runtime.

They are documented in model_configuration.md, batcher.md and implicit_state_management.md of
https://github.com/triton-inference-server/server. The configuration is parsed by the protobuf of
``tritonclient``, loaded by its path, since its package imports gRPC.
"""

from dataclasses import dataclass, field
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray
from tiny import installed, open_session

Arrays = dict[str, NDArray[Any]]
_ELEMENTS = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    **{f"TYPE_{u}INT{n}": f"tensor({u.lower()}int{n})" for u in ("", "U") for n in (8, 16, 32, 64)},
}
_GARBAGE = {"f": np.nan, "i": -77, "u": 77, "b": True}  # by the kind of a type


def parsed(config: bytes) -> Any:
    """``config.pbtxt`` as the message ``ModelConfig``, with its enumerations by name."""
    installed("tritonclient")
    spec = find_spec("tritonclient")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    of_file = spec_from_file_location("model_config_pb2", path)
    assert of_file is not None
    assert of_file.loader is not None
    module = module_from_spec(of_file)
    of_file.loader.exec_module(module)
    return text_format.Parse(config.decode(), module.ModelConfig())


@dataclass(frozen=True)
class Request:
    """One request of a sequence: its inputs, each with the batch axis if the model has one."""

    sequence: int
    inputs: Arrays
    start: bool = False


@dataclass
class Server:
    """One model in a repository, as the server loads it."""

    repository: Path
    calls: list[int] = field(default_factory=list)  # the number of requests in each call

    def __post_init__(self) -> None:
        [folder] = self.repository.iterdir()
        self.config = parsed((folder / "config.pbtxt").read_bytes())
        assert self.config.name == folder.name
        assert self.config.backend == "onnxruntime"
        self.session = open_session(folder / "1" / "model.onnx")
        self.states: dict[int, Arrays] = {}
        self._check()

    def _check(self) -> None:
        """All inputs of the graph are in the configuration, with their types and shapes."""
        sequences = self.config.sequence_batching
        given = {one.name: one for one in self.config.input}
        made = {one.name: one for one in self.config.output}
        assert all(len(one.dims) for one in (*given.values(), *made.values(), *sequences.state))
        given |= {one.input_name: one for one in sequences.state}
        made |= {one.output_name: one for one in sequences.state}
        controls = {one.name for one in sequences.control_input}
        for tensors, listed in (
            (self.session.get_inputs(), given),
            (self.session.get_outputs(), made),
        ):
            assert {one.name for one in tensors} - controls == {*listed}
            for tensor in tensors:
                batch: list[Any] = [-1] if self.config.max_batch_size else []
                if tensor.name in controls:
                    kind, dims = "tensor(bool)", [*batch, 1]
                else:
                    one = listed[tensor.name]
                    kind = _ELEMENTS[
                        one.DESCRIPTOR.fields_by_name["data_type"]
                        .enum_type.values_by_number[one.data_type]
                        .name
                    ]
                    dims = [*batch, *one.dims]
                assert tensor.type == kind
                assert len(tensor.shape) == len(dims), tensor.name
                for size, dim in zip(tensor.shape, dims, strict=True):
                    # An axis that is open in the graph may have one size in the configuration.
                    assert isinstance(size, str) or size == dim
                    assert isinstance(size, int) or dim == -1 or not self.config.max_batch_size

    def infer(self, requests: list[Request]) -> list[Arrays]:
        """Answers of requests that came at the same time, in batches of equal shapes."""
        answers: dict[int, Arrays] = {}
        groups: dict[Any, list[int]] = {}
        for place, request in enumerate(requests):
            shapes = {name: array.shape for name, array in request.inputs.items()}
            groups.setdefault(repr(shapes), []).append(place)
        most = self.config.max_batch_size or 1
        for places in groups.values():
            for first in range(0, len(places), most):
                batch = places[first : first + most]
                found = self._call([requests[place] for place in batch])
                answers |= dict(zip(batch, found, strict=True))
        return [answers[place] for place in range(len(requests))]

    def _call(self, requests: list[Request]) -> list[Arrays]:
        sequences, is_batched = self.config.sequence_batching, bool(self.config.max_batch_size)
        assert is_batched or len(requests) == 1
        assert len({request.sequence for request in requests}) == len(requests)
        feeds: dict[str, list[NDArray[Any]]] = {}
        for request in requests:
            assert {*request.inputs} == {one.name for one in self.config.input}
            if request.start:
                self.states.pop(request.sequence, None)
            elif sequences.state:
                assert request.sequence in self.states, "the first request must have the start flag"
            rows = dict(request.inputs)
            assert not is_batched or {len(array) for array in rows.values()} == {1}
            for control in sequences.control_input:
                [flag] = control.control
                assert flag.Kind.Name(flag.kind) == "CONTROL_SEQUENCE_START"
                value = flag.bool_false_true[request.start]
                rows[control.name] = np.full([1, 1] if is_batched else [1], value)
            rows |= self.states.get(request.sequence) or self._uninitialized()
            for name, array in rows.items():
                feeds.setdefault(name, []).append(array)
        names = [one.name for one in self.session.get_outputs()]
        together = {name: np.concatenate(arrays) for name, arrays in feeds.items()}
        found = dict(zip(names, self.session.run(names, together), strict=True))
        self.calls.append(len(requests))
        answers = []
        for place, request in enumerate(requests):
            own = {n: y[place : place + 1] if is_batched else y for n, y in found.items()}
            self.states[request.sequence] = {
                one.input_name: own.pop(one.output_name) for one in sequences.state
            }
            answers.append(own)
        return answers

    def _uninitialized(self) -> Arrays:
        """States of a new sequence: memory that holds anything; an open axis has one element."""
        states = {}
        kinds = {one.name: one.type for one in self.session.get_inputs()}
        for one in self.config.sequence_batching.state:
            batch = [1] if self.config.max_batch_size else []
            shape = [*batch, *(1 if dim == -1 else dim for dim in one.dims)]
            name = kinds[one.input_name].removeprefix("tensor(").removesuffix(")")
            kind = np.dtype({"float": "float32", "double": "float64"}.get(name, name))
            states[one.input_name] = np.full(shape, _GARBAGE[kind.kind], kind)
        return states
