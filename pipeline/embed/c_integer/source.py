"""A network in fixed point as one header and one source in C99.

``model.h`` and ``model.c`` beside this file are what is generated, less what depends on the
network, as for the target c.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.cells.fixed_point import OUTPUT_BITS, STATE_BITS, STATE_LIMIT, FixedPoint
from pipeline.contract import Bundle
from pipeline.contract.law import LESS_THAN_FLOAT32
from pipeline.contract.network import stored_network
from pipeline.embed.c.arrays import lines, vocabulary_arrays
from pipeline.embed.c.layout import up
from pipeline.embed.c.source import defines, identifier
from pipeline.embed.c.template import PUBLIC, fill, template
from pipeline.embed.c_integer.network import IntegerNetwork, Product
from pipeline.embed.c_integer.proof import proof
from pipeline.errors import UsageError
from pipeline.escaping import c_comment, c_string

_TOLERANCE = LESS_THAN_FLOAT32["int16"]
_PANEL = 16  # rows in a panel: the 32-bit sums in one register of AVX-512
_MARGIN = 1.25  # numbers may lie farther out than those held out, by so much
_ROOM = 32  # the functions of gates work on so many numbers at a time
_PACKAGE = "pipeline.embed.c_integer"
_PARTS = ("plain", "functions", "neon", "avx2", "avx512")
_PUBLIC = (*PUBLIC, "INPUT_BITS", "OUTPUT_BITS")


def integer_c_source(bundle: Bundle) -> dict[str, bytes]:
    """``model.h`` and ``model.c`` of a bundle; the same bytes for the same bundle.

    Raises:
        UsageError: the bundle is of a module, or fixed point does not hold the network.
    """
    integers = integer_network(bundle)
    return write_integer_c(integers, str(bundle.manifest.checkpoint_sha256))


def integer_network(bundle: Bundle) -> IntegerNetwork:
    """The network of a bundle in fixed point. Raises as :func:`integer_c_source`."""
    manifest = bundle.manifest
    if manifest.model is None or manifest.checkpoint_sha256 is None:
        raise UsageError(
            f"{manifest.name} is a module, and C is generated from built-in networks alone; embed "
            "it for a target that runs ONNX or TorchScript"
        )
    network, farthest = stored_network(bundle), 1.0
    if network.scaler is not None:
        mean, deviation = np.asarray(network.scaler.input_mean), network.scaler.input_std
        farthest = _MARGIN * float(abs((bundle.task_data() - mean) / deviation).max(initial=1.0))
    return IntegerNetwork(manifest.name, network, farthest)


def write_integer_c(network: IntegerNetwork, digest: str) -> dict[str, bytes]:
    """``model.h`` and ``model.c`` of a network; the same bytes for the same network.

    ``digest`` is that of its checkpoint, and stands in a comment and a string.
    """
    config, entry, prefix = network.config, network.entry, identifier(network.name)
    is_text = network.vocabulary is not None
    kinds = {"TEXT": is_text, "GATES": entry.is_gated, "CELL_STATE": entry.has_c}
    columns = [up(p.weights.shape[1], 4) for p in (network.layers[0].input, network.head)]
    public = _public_sizes(network)
    sizes = {
        "INPUT": "int64_t" if is_text else "int16_t",
        "FEATURES": public["FEATURES"],
        "INPUT_COLUMNS": columns[0],
        "LAYERS": config.num_layers,
        "HIDDEN": config.hidden_size,
        "COLUMNS": columns[-1],
        "MOST_COLUMNS": max(columns),
        "ROOM(size)": f"(((size) + {_ROOM - 1}) / {_ROOM} * {_ROOM})",
        "MOST_ROWS": f"ROOM({max(_rows(p) for layer in network.layers for p in layer)})",
        "OUTPUTS": public["OUTPUTS"],
        "OUTPUT_ROWS": _rows(network.head),
        "PANEL": _PANEL,
        "SEGMENTS": FixedPoint().parabolas.shape[1],
        "OUTPUT_BITS": OUTPUT_BITS,
        "STATE_BITS": STATE_BITS,
        "STATE_LIMIT": STATE_LIMIT,
    }
    kind = "text, character by character" if is_text else "a series, step by step"
    title = (
        f"/* {c_comment(network.name)}: a recurrent network for {kind}, in C99 and in integers.\n"
        f"   Checkpoint {c_comment(digest)}. */"
    )
    parts = {
        "TITLE": title,
        "SIZES": defines(sizes),
        "WEIGHTS": "\n".join(_arrays(network, prefix)),
        "LAYERS": _layers(network),
        "LOOKUP": template("pipeline.embed.c", "lookup.c", kinds).rstrip(),
        "STEP": template("pipeline.cells", f"{config.cell}_integer.c", kinds).rstrip(),
        "NAMES": _names(network, digest, prefix),
    }
    for part in _PARTS:
        parts[part.upper()] = template(_PACKAGE, f"{part}.c", kinds).rstrip()
    header = parts | {"SIZES": defines(public, f"{prefix.upper()}_")}
    return {
        "model.h": fill("model.h", header, kinds, prefix, _PACKAGE, _PUBLIC),
        "model.c": fill("model.c", parts, kinds, prefix, _PACKAGE, _PUBLIC),
    }


def _public_sizes(network: IntegerNetwork) -> dict[str, int | str]:
    rows, hidden = network.zero_state(1).shape[1:]
    bits = {"STATE_BITS": STATE_BITS, "OUTPUT_BITS": OUTPUT_BITS}
    if network.scaler is not None:
        bits["INPUT_BITS"] = network.input_bits
    return {
        "FEATURES": len(network.scaler.input_mean) if network.scaler else 1,
        "OUTPUTS": network.head.size,
        "ROWS": rows,
        "HIDDEN": hidden,
        "STATE": f"({rows} * {hidden})",
        **bits,
    }


def _names(network: IntegerNetwork, digest: str, prefix: str) -> str:
    is_text = network.vocabulary is not None
    further = ["logits", "vocabulary"] if is_text else ["input", "number"]
    given = "(number)" if is_text else "model_input(number, feature)"
    number = f"((float)(output) / {2**OUTPUT_BITS})" if is_text else "model_number(output, target)"
    lines = [
        '#define MODEL_TARGET "c-integer"',
        f"#define MODEL_CHECKPOINT {c_string(digest)}",
        f"#define MODEL_PROOF UINT64_C({proof(network)})",
        f"#define MODEL_ATOL {_TOLERANCE.atol}",
        f"#define MODEL_RTOL {_TOLERANCE.rtol}",
        f"#define MODEL_TEXT {int(is_text)}",
        f"#define MODEL_INPUT {'int64_t' if is_text else 'int16_t'}",
        "#define MODEL_WORD int32_t",
        f"#define MODEL_GIVEN(number, feature) {given}",
        f"#define MODEL_NUMBER(output, target) {number}",
    ]
    lines += [f"#define MODEL_{size} {prefix.upper()}_{size}" for size in _public_sizes(network)]
    lines += [f"#define model_{name} {prefix}_{name}" for name in ("init", "step", "run", *further)]
    return "\n".join(lines)


def _arrays(network: IntegerNetwork, prefix: str) -> Iterator[str]:
    for place, values in enumerate(FixedPoint().parabolas):
        yield _array("int16_t", f"squash_{place}", np.append(values, np.int16(0)))
    for number, layer in enumerate(network.layers):
        yield from _product(f"input_{number}", layer.input)
        yield from _product(f"hidden_{number}", layer.hidden)
    yield from _product("head", network.head)
    if network.embedding is not None and network.vocabulary is not None:
        yield _array("int16_t", "embedding", _wider(network.embedding, 1, 4))
        yield from vocabulary_arrays(network.vocabulary, prefix)
        return
    assert network.scaler is not None
    for name, values in (
        ("input_mean", np.asarray(network.scaler.input_mean, np.float32)),
        ("input_scale", network.input_scale),
        ("output_mean", np.asarray(network.scaler.output_mean, np.float32)),
        ("output_scale", network.output_scale),
    ):
        numbers = ", ".join(f"{value!s}f" for value in values)
        yield f"static const float {name}[{len(values)}] = {{{numbers}}};"


def _product(name: str, product: Product) -> Iterator[str]:
    """The arrays of a product, in panels of rows, of each four columns at a time."""
    weights = _wider(_wider(product.weights, 0, _PANEL), 1, 4)
    panels = weights.reshape(-1, _PANEL, weights.shape[1] // 4, 4).transpose(0, 2, 1, 3)
    yield _array("int8_t", f"{name}_weights", panels)
    yield _array("int32_t", f"{name}_multipliers", _wider(product.multipliers, 0, _PANEL))
    yield _array("int32_t", f"{name}_bias", _wider(product.bias, 0, _PANEL))
    offsets = weights.astype(np.int64).sum(axis=1) << 15
    yield f"#ifdef CHOOSES\n{_array('int32_t', f'{name}_offsets', offsets)}\n#endif"


def _rows(product: Product) -> int:
    """The rows of a product, in whole panels."""
    return up(len(product.weights), _PANEL)


def _wider(array: NDArray[np.generic], axis: int, step: int) -> NDArray[np.generic]:
    """``array`` with zeros behind it along ``axis``, up to a multiple of ``step``."""
    missing = [(0, -size % step if axis == of else 0) for of, size in enumerate(array.shape)]
    return np.pad(array, missing)


def _layers(network: IntegerNetwork) -> str:
    def matrix(name: str, of: Product) -> str:
        arrays = ", ".join(f"{name}_{part}" for part in ("weights", "multipliers", "bias"))
        columns, second = up(of.weights.shape[1], 4), of.size if of.double else 0
        return f"{{{arrays}, OFFSETS({name}) {_rows(of)}, {second}, {columns}, {of.shift}}}"

    table = [
        "#ifdef CHOOSES",
        "#define OFFSETS(name) name##_offsets,",
        "#else",
        "#define OFFSETS(name)",
        "#endif",
        "static const struct layer layers[LAYERS] = {",
    ]
    for number, layer in enumerate(network.layers):
        table.append(f"    {{{matrix(f'input_{number}', layer.input)},")
        table.append(f"     {matrix(f'hidden_{number}', layer.hidden)}}},")
    head = f"static const struct matrix output_layer = {matrix('head', network.head)};"
    return "\n".join([*table, "};", head])


def _array(kind: str, name: str, values: NDArray[np.generic]) -> str:
    flat: Sequence[int] = values.ravel().tolist()
    return f"ALIGNED static const {kind} {name}[{len(flat)}] = {{\n{lines(map(str, flat))}\n}};"
