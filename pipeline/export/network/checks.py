"""Post-conditions of an export of a network of our own: its graph, and its numbers."""

from collections.abc import Iterator

import numpy as np
import onnx
import torch
from onnx import ModelProto

from pipeline.cells import BY_OPERATOR, ENTRIES
from pipeline.errors import MalformedError, ParityError
from pipeline.export.called import Called
from pipeline.export.graph_checks import RecurrentNode, dims, format_breaches, recurrent_breaches
from pipeline.export.quiet import quiet_exporter
from pipeline.export.session import Session, cpu_session
from pipeline.model import Network
from pipeline.network_tensors import BATCH, INPUT, STATE, TIME, NetworkTensors
from pipeline.runtimes.pytorch import PyTorch
from pipeline.runtimes.torchscript import TorchScript
from pipeline.verify import Case, Model, answer, deviations, replay

_FORBIDDEN = {"Loop", "Scan", "If", "StringNormalizer", "StringConcat", "StringSplit"}
_SIZES = ((1, 1), (1, 7), (4, 1), (5, 13))  # batch and time, none of them the export's own


def check_graph(model: ModelProto, network: Network) -> None:
    """Hold the graph against the contract.

    Raises:
        ParityError: it breaks it; every breach is listed.
    """
    breaches = list(_breaches(model, network))
    if breaches:
        raise ParityError(
            f"the exported graph '{model.graph.name}' breaks the contract: {'; '.join(breaches)}"
        )


def _breaches(model: ModelProto, network: Network) -> Iterator[str]:
    yield from format_breaches(model)
    config = network.config
    node = RecurrentNode(
        ENTRIES[config.cell].operator,
        config.hidden_size,
        directions=2 if config.bidirectional else 1,
        activation=config.nonlinearity.capitalize(),
    )
    yield from recurrent_breaches(model, [node] * config.num_layers)
    for node_ in model.graph.node:
        if node_.op_type in _FORBIDDEN:
            yield f"operator {node_.op_type} at '{node_.name}'"
    yield from _interface_breaches(model, network.tensors)
    yield from _frozen_axes(model, network.tensors)


def _interface_breaches(model: ModelProto, tensors: NetworkTensors) -> Iterator[str]:
    for given, wanted in (
        (model.graph.input, tensors.inputs),
        (model.graph.output, tensors.outputs),
    ):
        found = [
            (value.name, value.type.tensor_type.elem_type, tuple(dims(value))) for value in given
        ]
        element = {"float32": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64}
        expected = [(spec.name, element[spec.type], spec.shape) for spec in wanted]
        if found != expected:
            yield f"tensors {found}, not {expected}"


def _frozen_axes(model: ModelProto, tensors: NetworkTensors) -> Iterator[str]:
    """Tensors on the way from the inputs that lost their symbolic batch, or time."""
    shapes = {value.name: dims(value) for value in (*model.graph.value_info, *model.graph.output)}
    alive, timed = {INPUT, STATE}, {INPUT}
    layers = [node for node in model.graph.node if node.op_type in BY_OPERATOR]
    reads_a_step = False
    for node in model.graph.node:
        if alive.isdisjoint(node.input) or node.op_type == "Shape":  # sizes are no tensors
            continue
        alive.update(node.output)
        if node in layers:  # y goes along the time axis, y_h and y_c stand at its end
            timed.update(node.output[:1])
            reads_a_step = node == layers[-1] and TIME not in tensors.output.shape
        elif not timed.isdisjoint(node.input) and not (reads_a_step and node.op_type == "Slice"):
            timed.update(node.output)
        for name in filter(None, node.output):
            axes = shapes.get(name, [])
            if BATCH not in axes:
                yield f"tensor '{name}' has no dynamic batch: {axes}"
            if name in timed and TIME not in axes:
                yield f"tensor '{name}' has no dynamic time: {axes}"


def check_numbers(onnx_file: bytes, torchscript_file: bytes, network: Network) -> None:
    """Run both files at sizes that the export did not use, from a state that is not zero.

    Raises:
        MalformedError: PyTorch itself gives NaN or infinity.
        ParityError: a number differs from PyTorch's by more than the tolerance.
    """
    models: dict[str, Model] = {"ONNX": Session(cpu_session(onnx_file))}
    with quiet_exporter():
        models["TorchScript"] = TorchScript(torchscript_file)
    rng, tensors = np.random.default_rng(0), network.tensors
    pytorch = PyTorch(network.exported())
    twin = Called(network.twin(torch.float64).exported(), torch.float64)
    for batch, time in _SIZES:
        given = {INPUT: _random_input(network, rng, batch, time)}
        zeros = network.zero_state(batch)
        state = {STATE: rng.uniform(-1, 1, zeros.shape).astype(np.float32)}
        case = Case("", (given,), state if tensors.has_state else {}, batch=batch, time=time)
        truth = answer(tensors.contract, case, pytorch, twin)
        if not all(np.isfinite(y).all() for y in truth.exact[0].values()):
            raise MalformedError(
                "the network gives NaN or infinity, which cannot be compared; give it finite "
                "weights"
            )
        for kind, model in models.items():
            places = deviations(replay(model, truth.contract, truth.case), truth)
            for name, (place,) in places.items():
                if not place.within:
                    raise ParityError(
                        f"{kind} gives another {name} than PyTorch at batch {batch}, time {time}; "
                        "the model was not written"
                    )


def _random_input(
    network: Network, rng: np.random.Generator, batch: int, time: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32 | np.int64]]:
    if network.vocabulary is not None:
        known = [ord(character) for character in network.vocabulary]
        return rng.choice([*known, max(known) + 1], size=(batch, time)).astype(np.int64)
    assert network.scaler is not None
    z = rng.normal(size=(batch, time, len(network.scaler.input_mean)))
    return (z * network.scaler.input_std + network.scaler.input_mean).astype(np.float32)
