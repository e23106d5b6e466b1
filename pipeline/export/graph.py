"""``torch.onnx.export`` with the recurrent layers kept whole, and its graph made tidy."""

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
from pipeline.export.registry import reused_registry


def translate(source: nn.Module | ExportedProgram, *inputs: Any, **options: Any) -> ModelProto:
    """``torch.onnx.export`` with recurrent operators translated to one ONNX node each."""
    with quiet_exporter(), reused_registry(), torch.no_grad():
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


def describe(model: ModelProto, specs: Iterable[TensorSpec]) -> None:
    """Say in the graph what each of its inputs and outputs means; viewers such as Netron show it.

    Raises:
        KeyError: the graph has a tensor that is not among ``specs``.
    """
    meanings = {spec.name: spec.meaning for spec in specs}
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = meanings[value.name]
