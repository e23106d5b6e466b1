"""The model repository: ``config.pbtxt`` and the graph, in the places where Triton looks for them.

The fields are those of
https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto.
"""

from collections.abc import Iterable, Iterator

from pipeline.contract import Bundle
from pipeline.contract.tensors import TensorSpec
from pipeline.embed.triton.graph import served_graph
from pipeline.embed.triton.layout import Layout, layout_of

_TYPES = {"float16": "FP16", "float32": "FP32", "float64": "FP64"}
_SEQUENCES = 1024  # streams that are open at the same time
_IDLE = 600_000_000  # microseconds after which an abandoned stream is closed


def repository(bundle: Bundle) -> dict[str, bytes]:
    """The files of the repository for ``bundle``, by path.

    Raises:
        UsageError: Triton's sequence batcher cannot keep the states of the model.
        PipelineError: a file of the bundle is missing or was changed.
    """
    layout = layout_of(bundle)
    folder = f"repository/{bundle.manifest.name}"
    return {
        f"{folder}/config.pbtxt": "\n".join(_config(bundle, layout)).encode() + b"\n",
        f"{folder}/1/model.onnx": served_graph(bundle, layout),
    }


def _config(bundle: Bundle, layout: Layout) -> Iterator[str]:
    manifest = bundle.manifest
    specs = {spec.name: spec for spec in manifest.inputs}
    one = None if layout.batch else manifest.contract.batch
    yield f'name: "{manifest.name}"'
    yield 'backend: "onnxruntime"'
    yield f"max_batch_size: {layout.max_batch}"
    yield from _tensors("input", manifest.contract.data_inputs, layout, one)
    yield from _tensors("output", manifest.contract.data_outputs, layout, one)
    # A step is too small to share between threads.
    for key in ("intra_op_thread_count", "inter_op_thread_count"):
        yield f'parameters {{ key: "{key}" value {{ string_value: "1" }} }}'
    if not manifest.states:
        if layout.batch:
            yield "dynamic_batching { }"
        return
    yield "sequence_batching {"
    yield f"  max_sequence_idle_microseconds: {_IDLE}"
    yield f"  oldest {{ max_candidate_sequences: {_SEQUENCES} }}"
    control = "kind: CONTROL_SEQUENCE_START bool_false_true: [ false, true ]"
    yield f'  control_input {{ name: "{layout.start}" control {{ {control} }} }}'
    for pair in manifest.states:
        kind, dims = _form(specs[pair.input], layout, one)
        names = f'input_name: "{pair.input}" output_name: "{pair.output}"'
        yield f"  state {{ {names} data_type: {kind} dims: {dims} }}"
    yield "}"


def _tensors(
    field: str, specs: Iterable[TensorSpec], layout: Layout, one: str | None
) -> Iterator[str]:
    for spec in specs:
        kind, dims = _form(spec, layout, one)
        yield f'{field} {{ name: "{spec.name}" data_type: {kind} dims: {dims} }}'


def _form(spec: TensorSpec, layout: Layout, one: str | None) -> tuple[str, str]:
    kind = _TYPES.get(spec.type, spec.type.upper())
    return f"TYPE_{kind}", f"[ {', '.join(map(str, layout.dims(spec, one)))} ]"
