"""Post-conditions of the graph of any module: sound, its layers whole, its axes open."""

from collections.abc import Iterator, Mapping

from onnx import ModelProto
from torch.export import ExportedProgram

from pipeline.errors import ParityError
from pipeline.export.graph_checks import dims, format_breaches, recurrent_breaches
from pipeline.export.module.example import Axes, Example, named_axes
from pipeline.export.module.traced_layers import traced_layers


def check_module_graph(
    model: ModelProto, program: ExportedProgram, example: Example, dynamic_axes: Axes | None
) -> None:
    """Hold the graph against what was traced and declared.

    Raises:
        ParityError: it breaks it; every breach is listed.
    """
    called, different = traced_layers(program)
    wrong = list(recurrent_breaches(model, called))
    breaches = [
        *format_breaches(model),
        *(wrong if any(recurrent_breaches(model, different)) else []),
        *_static_axes(model, named_axes(dynamic_axes)),
    ]
    if breaches:
        raise ParityError(f"the exported graph breaks what it has to be: {'; '.join(breaches)}")


def _static_axes(model: ModelProto, dynamic_axes: Mapping[str, Mapping[int, str]]) -> Iterator[str]:
    for value in (*model.graph.input, *model.graph.output):
        shape = dims(value)
        for axis, name in dynamic_axes.get(value.name, {}).items():
            inside = -len(shape) <= axis < len(shape)
            if not inside or not isinstance(shape[axis], str):
                yield f"axis {axis} of '{value.name}' is not the dynamic '{name}': {shape}"
