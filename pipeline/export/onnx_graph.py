"""A network as one ONNX graph, by ``torch.onnx.export`` with the recurrent layers kept whole."""

import copy
import json
from collections.abc import Iterable
from typing import Any

import onnx
import torch
from onnx import ModelProto
from torch import nn
from torch.export import ExportedProgram

from pipeline import __version__
from pipeline.cells import BY_OPERATOR
from pipeline.contract.tensors import TensorSpec
from pipeline.export.ops import TRANSLATIONS
from pipeline.export.quiet import quiet_exporter
from pipeline.export.recurrent import onnx_layers
from pipeline.model import Network
from pipeline.network_tensors import BATCH, DEFAULT_OPSET, NEXT_STATE, STATE, TIME


def example_inputs(network: Network, batch: int, time: int) -> tuple[torch.Tensor, ...]:
    """Inputs of the right shapes and types, for tracing."""
    size = {BATCH: batch, TIME: time}
    return tuple(
        torch.zeros(
            [size[axis] if isinstance(axis, str) else axis for axis in spec.shape],
            dtype=getattr(torch, spec.type),
        )
        for spec in network.tensors.inputs
    )


def translate(source: nn.Module | ExportedProgram, *inputs: Any, **options: Any) -> ModelProto:
    """``torch.onnx.export`` with recurrent operators translated to one ONNX node each."""
    with quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            source,
            *inputs,
            dynamo=True,
            verbose=False,
            custom_translation_table=TRANSLATIONS,
            **options,
        )
    assert program is not None  # only the TorchScript-based exporter returns None
    return program.model_proto


def to_onnx(network: Network, name: str, opset: int = DEFAULT_OPSET) -> ModelProto:
    """Export ``network``; the graph is called ``name``.

    The result has dynamic batch and time, the state contract in ``metadata_props``, and
    nothing that depends on the machine it was made on.
    """
    dim = {axis: torch.export.Dim(axis, min=1) for axis in (BATCH, TIME)}
    tensors = network.tensors
    twin = copy.deepcopy(network).eval()
    with onnx_layers(twin):
        model = translate(
            twin.exported(),
            example_inputs(network, batch=2, time=3),
            opset_version=opset,
            input_names=[spec.name for spec in tensors.inputs],
            output_names=[spec.name for spec in tensors.outputs],
            dynamic_shapes=tuple(
                {place: dim[axis] for place, axis in enumerate(spec.shape) if axis in dim}
                for spec in tensors.inputs
            ),
        )
    model = tidy(model, name, _metadata(network, name))
    describe(model, (*tensors.inputs, *tensors.outputs))
    return model


def describe(model: ModelProto, specs: Iterable[TensorSpec]) -> None:
    """Say in the graph what each of its inputs and outputs means; viewers such as Netron show it.

    Raises:
        KeyError: the graph has a tensor that is not among ``specs``.
    """
    meanings = {spec.name: spec.meaning for spec in specs}
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = meanings[value.name]


def tidy(model: ModelProto, name: str, metadata: dict[str, str]) -> ModelProto:
    """Strip traces of the exporter, name graph and recurrent nodes, and set the metadata."""
    graph = model.graph
    graph.name = name
    recurrent = [node for node in graph.node if node.op_type in BY_OPERATOR]
    for layer, node in enumerate(recurrent):
        node.name = f"recurrent_{layer}"
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    del graph.value_info[:]
    model.producer_name, model.producer_version = "pipeline", __version__
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import))
    model.doc_string = ""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def _metadata(network: Network, name: str) -> dict[str, str]:
    """What a program needs that has the ONNX file alone."""
    tensors = network.tensors
    metadata = {
        "name": name,
        "task": network.config.task,
        "model": network.config.model_dump_json(),
    }
    if tensors.has_state:
        state = {
            "input": STATE,
            "output": NEXT_STATE,
            "shape": tensors.state.shape,
            "initial": 0,
            "rows": tensors.state_rows,
            "h_columns": network.config.h_size,
        }
        metadata["state"] = json.dumps(state)
    if network.vocabulary is not None:
        metadata["vocabulary"] = network.vocabulary
    if network.scaler is not None:
        metadata["scaler"] = network.scaler.model_dump_json()
    return metadata
