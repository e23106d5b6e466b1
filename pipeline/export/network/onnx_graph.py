"""A network of our own as one ONNX graph."""

import copy
import json

import torch
from onnx import ModelProto

from pipeline.export.graph import describe, tidy, translate
from pipeline.export.network.layers import onnx_layers
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
