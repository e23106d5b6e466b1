"""Names and shapes of a model's weights, derived from its configuration alone.

With them, a file of weights is checked before any memory is allocated for it.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from pipeline.cells import ENTRIES
from pipeline.config import SeriesModel, TextModel
from pipeline.contract.small_weights import Header, StoredWeight, header_of
from pipeline.errors import MalformedError
from pipeline.reading import parse_json

Shapes = dict[str, tuple[int, ...]]

HEADER_LIMIT = 2**20  # bytes; a tensor takes some 100 of them, and the most are 641


def weight_shapes(config: SeriesModel | TextModel, vocabulary_size: int = 0) -> Shapes:
    """Shapes by the names in the network's ``state_dict``, which ``torch.nn`` lists by layer."""
    outputs, shapes = vocabulary_size + 1, Shapes()
    if isinstance(config, TextModel):
        width = config.embedding_size
        shapes["encoder.1.weight"] = (outputs, width)
    else:
        width, outputs = config.features, config.targets
    directions = ("", "_reverse") if config.bidirectional else ("",)
    rows, h = len(ENTRIES[config.cell].gates) * config.hidden_size, config.h_size
    for layer in range(config.num_layers):
        for direction in directions:
            of_layer: Shapes = {"weight_ih": (rows, width), "weight_hh": (rows, h)}
            if config.bias:
                of_layer |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if config.proj_size:
                of_layer["weight_hr"] = (h, config.hidden_size)
            for name, shape in of_layer.items():
                shapes[f"recurrent.layers.{name}_l{layer}{direction}"] = shape
        width = h * len(directions)
    return shapes | {"head.weight": (outputs, width), "head.bias": (outputs,)}


def parameters(shapes: Shapes) -> int:
    """The number of elements in tensors of these shapes."""
    return sum(map(math.prod, shapes.values()))


def largest_file(numbers: int) -> int:
    """The largest size in bytes of a file of tensors of so many numbers of up to 8 bytes."""
    return 8 + HEADER_LIMIT + 8 * numbers


def check_header(
    data: bytes, shapes: Shapes, path: Path, stored: Mapping[str, StoredWeight] | None = None
) -> None:
    """Compare the header of a safetensors file with the shapes that its tensors must have.

    They are float32, but for those that are ``stored`` small.

    Raises:
        MalformedError: names, shapes or types differ (all are listed), or it has no header.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(HEADER_LIMIT, len(data) - 8):
        raise MalformedError(f"{path} is truncated or not safetensors; make it anew")
    try:
        header = parse_json(data[8 : 8 + length], path)
        found = {
            name: (entry["dtype"], tuple(entry["shape"]))
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (AttributeError, LookupError, TypeError) as error:
        raise MalformedError(f"{path} is not safetensors; make it anew") from error
    check_tensors(found, float32_header(shapes) | header_of(stored or {}), path)


def float32_header(shapes: Shapes) -> Header:
    """The types and shapes of float32 tensors of these ``shapes``."""
    return {name: ("F32", shape) for name, shape in shapes.items()}


def check_tensors(
    found: Mapping[str, tuple[object, tuple[object, ...]]], expected: Header, path: Path
) -> None:
    """Compare tensors, given as type and shape by name, with those that are ``expected``.

    Raises:
        MalformedError: names, shapes or types differ; all are listed.
    """
    faults = [f"missing {name}" for name in expected.keys() - found.keys()]
    faults += [f"unexpected {ascii(name)[1:-1][:80]}" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        (dtype, shape), (right_dtype, right_shape) = found[name], expected[name]
        if shape != right_shape:
            sizes = json.dumps(shape, default=str)[:80]
            faults.append(f"{name} is {sizes}, not {list(right_shape)}")
        if dtype != right_dtype:
            faults.append(f"{name} is {ascii(dtype)[1:-1][:20]}, not {right_dtype}")
    if faults:
        shown = "; ".join(sorted(faults)[:20])
        raise MalformedError(f"{path} does not fit its model: {shown}")
