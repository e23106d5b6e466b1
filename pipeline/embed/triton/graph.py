"""The graph that Triton runs: the model's own, with the batch first and with states that start.

Triton puts requests together along the first axis and says in a control input which of them start
a sequence; their states hold anything. So every tensor is turned until its batch is first. Where a
sequence starts, its initial state takes the place of what came. The model itself is unchanged.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from pipeline.contract import Bundle
from pipeline.contract.files import ONNX_FILE
from pipeline.contract.law import Array
from pipeline.contract.tensors import TensorSpec
from pipeline.embed.triton.layout import Layout
from pipeline.errors import MalformedError, one_line

_MODEL = "model/"  # before every name of the model's own graph; no tensor of a contract has a /
_WIDER = {  # types that ONNX Runtime's Where takes, for those that it does not
    **dict.fromkeys(("bool", "int8", "int16", "uint16"), "int32"),
    "float16": "float32",
    "uint32": "int64",
}


def served_graph(bundle: Bundle, layout: Layout) -> bytes:
    """The ONNX file for Triton.

    Raises:
        MalformedError: the graph of the bundle is not that of its manifest.
        PipelineError: as :meth:`Bundle.read`.
    """
    manifest = bundle.manifest
    data = bundle.read(ONNX_FILE)
    with _checked(bundle):
        model = onnx.load_from_string(data)
        inner = onnx.compose.add_prefix(model, _MODEL).graph
    initial = bundle.initial_states() if manifest.states else {}
    before = [node for spec in manifest.inputs for node in _given(spec, layout, initial)]
    after = [node for spec in manifest.outputs for node in _made(spec, layout)]
    inputs = [_value(spec, layout) for spec in manifest.inputs]
    if layout.start:
        shape: list[str | int | None] = [layout.batch, 1] if layout.batch else [1]
        control = helper.make_tensor_value_info(layout.start, onnx.TensorProto.BOOL, shape)
        control.doc_string = "true in the first request of a sequence"
        inputs.append(control)
    graph = helper.make_graph(
        [*before, *inner.node, *after],
        manifest.name,
        inputs,
        [_value(spec, layout) for spec in manifest.outputs],
        initializer=inner.initializer,
        value_info=inner.value_info,
    )
    served = helper.make_model(
        graph,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        functions=model.functions,
    )
    served.metadata_props.extend(model.metadata_props)
    with _checked(bundle):
        onnx.checker.check_model(served)
    made: bytes = served.SerializeToString(deterministic=True)
    return made


@contextmanager
def _checked(bundle: Bundle) -> Iterator[None]:
    """Errors of protobuf and onnx, which have many types, as those of the graph in the bundle."""
    try:
        yield
    except Exception as error:
        raise MalformedError(
            f"{bundle.folder / ONNX_FILE} is no graph with the tensors of the manifest "
            f"({one_line(error)}); export it anew"
        ) from error


def _value(spec: TensorSpec, layout: Layout) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.type))
    return helper.make_tensor_value_info(
        spec.name, kind, list(layout.shape(spec)), doc_string=spec.meaning
    )


def _given(spec: TensorSpec, layout: Layout, initial: dict[str, Array]) -> Iterator[NodeProto]:
    """Nodes that turn what the server gives into an input of the model."""
    name = spec.name
    if name in initial:
        yield from _started(spec, layout, _as_served(initial[name], spec, layout))
        name = f"{name}/started"
    target, axis, rank = _MODEL + spec.name, layout.batch_axis(spec), len(spec.shape)
    if layout.lacks_axis(spec):
        yield from _with_axis("Squeeze", name, target, rank)
    elif axis:
        order = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
        yield helper.make_node("Transpose", [name], [target], perm=order)
    else:
        yield helper.make_node("Identity", [name], [target])


def _made(spec: TensorSpec, layout: Layout) -> Iterator[NodeProto]:
    """Nodes that turn an output of the model into what the server takes."""
    source, axis, rank = _MODEL + spec.name, layout.batch_axis(spec), len(spec.shape)
    if layout.lacks_axis(spec):
        yield from _with_axis("Unsqueeze", source, spec.name, rank)
    elif axis:
        order = [axis, *(place for place in range(rank) if place != axis)]
        yield helper.make_node("Transpose", [source], [spec.name], perm=order)
    else:
        yield helper.make_node("Identity", [source], [spec.name])


def _started(spec: TensorSpec, layout: Layout, first: Array) -> Iterator[NodeProto]:
    """Nodes that choose the initial state where a sequence starts, and the given one elsewhere."""
    name, rank = spec.name, len(layout.shape(spec))
    start, given, found = layout.start, name, f"{name}/started"
    if layout.batch and rank > 2:
        start = f"{name}/start"
        yield from _with_axis("Unsqueeze", layout.start, start, *range(2, rank))
    wider = _WIDER.get(spec.type)
    if wider:
        given, found = f"{name}/wider", f"{name}/chosen"
        yield _cast(name, given, wider)
        first = first.astype(wider)
    yield _constant(f"{name}/first", first)
    yield helper.make_node("Where", [start, f"{name}/first", given], [found])
    if wider:
        yield _cast(found, f"{name}/started", spec.type)


def _as_served(array: Array, spec: TensorSpec, layout: Layout) -> Array:
    array = np.moveaxis(array, layout.batch_axis(spec), 0) if layout.batch else array
    return array[..., None] if layout.lacks_axis(spec) else array


def _with_axis(operator: str, source: str, target: str, *axes: int) -> Iterator[NodeProto]:
    yield _constant(f"{target}/axes", np.array(axes, np.int64))
    yield helper.make_node(operator, [source, f"{target}/axes"], [target])


def _constant(name: str, array: Array) -> NodeProto:
    value = numpy_helper.from_array(np.ascontiguousarray(array), name)
    return helper.make_node("Constant", [], [name], value=value)


def _cast(source: str, target: str, kind: str) -> NodeProto:
    to = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return helper.make_node("Cast", [source], [target], to=to)
