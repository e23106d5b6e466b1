"""The weights of a network as arrays in C, in the layout that the functions read."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.contract.network import StoredNetwork
from pipeline.embed.c.layout import Layout, up

Floats = NDArray[np.float32]

_MATRICES = ("input_weights", "hidden_weights")  # of a layer


def weights(network: StoredNetwork, layout: Layout, prefix: str) -> Iterator[str]:
    """Every array, as C."""
    weights = network.weights
    for layer in range(layout.layers):
        tensors = {
            name: weights[f"recurrent.layers.{name}_l{layer}"]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
            if f"recurrent.layers.{name}_l{layer}" in weights
        }
        yield from _layer(layer, tensors, layout)
    head, bias = weights["head.weight"], weights["head.bias"]
    if network.vocabulary is not None:
        yield _floats("head_weights", _panels(head, layout.panel))
        yield _floats("head_bias", _wider(bias, 0, up(len(bias), layout.panel)))
        yield _floats("embedding", weights["encoder.1.weight"])
        yield from _vocabulary(network.vocabulary, prefix)
        return
    yield _floats("head_weights", _wider(head, 1, layout.padded))
    yield _floats("head_bias", bias)
    assert network.scaler is not None
    scaler = {
        name: np.asarray(values, np.float32) for name, values in network.scaler.model_dump().items()
    }
    scaler["input_scale"] = np.float32(1) / scaler.pop("input_std")
    for name, values in scaler.items():
        yield _floats(name, values)


def _layer(layer: int, tensors: dict[str, Floats], layout: Layout) -> Iterator[str]:
    entry = layout.entry

    def by_gate(name: str) -> dict[str, Floats]:
        """Each gate's rows, with zeros behind them; zeros alone where the layers have no bias."""
        whole = tensors.get(name, np.zeros(len(entry.gates) * layout.hidden, np.float32))
        rows = np.split(whole, len(entry.gates))
        return {
            gate: _wider(of, 0, layout.padded) for gate, of in zip(entry.gates, rows, strict=True)
        }

    x, h = by_gate("weight_ih"), by_gate("weight_hh")
    x_bias, h_bias = by_gate("bias_ih"), by_gate("bias_hh")
    # Gates that are kept apart come first in what x gives, and last in what h gives.
    added = [gate for gate in entry.c_gates if gate not in entry.apart]
    both = [(x_bias[gate].astype(np.float64) + h_bias[gate]).astype(np.float32) for gate in added]
    bias = [x_bias[gate] for gate in entry.apart] + both + [h_bias[gate] for gate in entry.apart]
    matrices = [
        np.concatenate([x[gate] for gate in (*entry.apart, *added)]),
        np.concatenate([h[gate] for gate in (*added, *entry.apart)]),
    ]
    for name, matrix in zip(_MATRICES, matrices, strict=True):
        yield _floats(f"{name}_{layer}", _panels(matrix, layout.panel))
    yield _floats(f"bias_{layer}", np.concatenate(bias))
    if layout.projected:
        yield _floats(f"projection_{layer}", _panels(tensors["weight_hr"], layout.panel))


def _wider(array: Floats, axis: int, size: int) -> Floats:
    """``array`` with zeros behind it along ``axis``."""
    missing = [(0, size - array.shape[axis] if axis == of else 0) for of in range(array.ndim)]
    return np.pad(array, missing)


def _panels(matrix: Floats, panel: int) -> Floats:
    """Rows in panels, of each the columns one after another."""
    full = _wider(matrix, 0, up(len(matrix), panel))
    return full.reshape(-1, panel, matrix.shape[1]).transpose(0, 2, 1)


def _vocabulary(vocabulary: str, prefix: str) -> Iterator[str]:
    points = [ord(character) for character in vocabulary]
    entries = sorted(range(len(points)), key=points.__getitem__)
    size = len(points)
    yield _integers(f"const int32_t {prefix}_vocabulary[OUTPUTS]", [0, *points])
    yield _integers(f"static const int32_t known_points[{size}]", [points[e] for e in entries])
    yield _integers(f"static const int32_t known_entries[{size}]", [e + 1 for e in entries])


def _integers(declaration: str, values: Sequence[int]) -> str:
    return f"{declaration} = {{\n{_lines(map(str, values))}\n}};"


def _floats(name: str, values: Floats) -> str:
    flat = values.ravel()
    literals = map(_literal, flat)
    return f"ALIGNED static const float {name}[{flat.size}] = {{\n{_lines(literals)}\n}};"


def _literal(value: np.float32) -> str:
    """The fewest digits that give the same float32 back."""
    if np.isnan(value):
        return "NAN"
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{value!s}f"


def _lines(words: Iterable[str]) -> str:
    """Words between commas, in lines of up to 100 characters."""
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return "\n".join([*lines, line])


def layer_table(layout: Layout) -> str:
    """The arrays of every layer, as one table in C."""
    rows = []
    for layer in range(layout.layers):
        names = [*_MATRICES, "bias", *(["projection"] if layout.projected else [])]
        arrays = ", ".join(f"{name}_{layer}" for name in names)
        rows.append(f"    {{{arrays}, {layout.inputs(layer)}}},")
    return "\n".join(["static const struct layer layers[LAYERS] = {", *rows, "};"])


def with_math(arrays: str) -> str:
    """The header that weights need which are not finite, and the weights."""
    needed = "NAN," in arrays or "INFINITY," in arrays
    return f"#include <math.h> /* NAN, INFINITY */\n\n{arrays}" if needed else arrays
