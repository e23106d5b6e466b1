"""The weights of a network as arrays in C, in the layout that the functions read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.contract.law import Array
from pipeline.contract.network import StoredNetwork
from pipeline.contract.small_weights import LARGEST
from pipeline.embed.c.layout import Layout, up

Floats = NDArray[np.float32]


class _Matrix:
    """A weight whose rows are ``arranged``: floats, or a variant's small numbers and their scales.

    What a variant stores in a larger type than that of ``layout`` is float32.
    """

    def __init__(
        self,
        network: StoredNetwork,
        layout: Layout,
        key: str,
        arranged: Callable[[Array], Array] = lambda rows: rows,
    ) -> None:
        self.numbers, self.panel, self._small = network.weights[key], layout.panel, layout.small
        self._scale = None
        if (small := network.small.get(key)) and _type(small.kind.type) == layout.small:
            self.numbers, self._scale = small.numbers, small.scale
        self.numbers = arranged(self.numbers)
        if self._scale is not None:
            self._scale = arranged(self._scale)

    def arrays(self, name: str, numbers: Array) -> Iterator[str]:
        """The ``numbers`` as they lie in memory, called ``name``, and the scales of the rows."""
        yield _numbers(name, numbers)
        if self._scale is not None:
            size = up(len(self._scale), self.panel)
            yield _numbers(f"{name}_scale", _wider(self._scale, 0, size))

    def in_panels(self, name: str) -> Iterator[str]:
        """The same in panels."""
        return self.arrays(name, _panels(self.numbers, self.panel))

    def entry(self, name: str) -> str:
        """The struct of what is called ``name``."""
        is_small = self.numbers.dtype != np.float32
        words = ["NULL", name] if is_small else [name, *(["NULL"] if self._small else [])]
        if self._small == "int8":
            words.append(f"{name}_scale" if is_small else "NULL")
        return f"{{{', '.join(words)}}}"


def _type(stored: str) -> str:
    return "int8" if stored in LARGEST else stored


def weights(network: StoredNetwork, layout: Layout, prefix: str) -> Iterator[str]:
    """Every array, as C."""
    for layer in range(layout.layers):
        for name, matrix in _matrices(network, layout, layer).items():
            yield from matrix.in_panels(f"{name}_{layer}")
        yield _numbers(f"bias_{layer}", _bias(network, layout, layer))
    bias = network.weights["head.bias"]
    if network.vocabulary is not None:
        yield from _head(network, layout).in_panels("head_weights")
        yield _numbers("head_bias", _wider(bias, 0, up(len(bias), layout.panel)))
        embedding = _embedding(network, layout)
        yield from embedding.arrays("embedding_weights", embedding.numbers)
        yield from vocabulary_arrays(network.vocabulary, prefix)
        return
    yield _numbers("head_weights", _wider(network.weights["head.weight"], 1, layout.padded))
    yield _numbers("head_bias", bias)
    assert network.scaler is not None
    scaler = {
        name: np.asarray(values, np.float32) for name, values in network.scaler.model_dump().items()
    }
    scaler["input_scale"] = np.float32(1) / scaler.pop("input_std")
    for name, values in scaler.items():
        yield _numbers(name, values)


def tables(network: StoredNetwork, layout: Layout) -> str:
    """Where the arrays of every layer and of a text are, as structs in C."""
    rows = []
    for layer in range(layout.layers):
        matrices = _matrices(network, layout, layer)
        entries = ", ".join(matrix.entry(f"{name}_{layer}") for name, matrix in matrices.items())
        rows.append(f"    {{{entries}, bias_{layer}, {layout.inputs(layer)}}},")
    lines = ["static const struct layer layers[LAYERS] = {", *rows, "};"]
    if layout.is_text:
        head, embedding = _head(network, layout), _embedding(network, layout)
        lines += [
            f"static const struct matrix head_matrix = {head.entry('head_weights')};",
            f"static const struct matrix embedding = {embedding.entry('embedding_weights')};",
        ]
    return "\n".join(lines)


def _head(network: StoredNetwork, layout: Layout) -> _Matrix:
    return _Matrix(network, layout, "head.weight")


def _embedding(network: StoredNetwork, layout: Layout) -> _Matrix:
    return _Matrix(network, layout, "encoder.1.weight")


def _matrices(network: StoredNetwork, layout: Layout, layer: int) -> dict[str, _Matrix]:
    """The matrices of a layer by their names in C."""
    # Gates that are kept apart come first in what x gives, and last in what h gives.
    apart, added = [*layout.entry.apart], _added(layout)
    found = {}
    for name, weight, gates in (
        ("input_weights", "weight_ih", apart + added),
        ("hidden_weights", "weight_hh", added + apart),
    ):
        key = f"recurrent.layers.{weight}_l{layer}"
        found[name] = _Matrix(network, layout, key, partial(_in_order, layout=layout, gates=gates))
    if layout.projected:
        found["projection"] = _Matrix(network, layout, f"recurrent.layers.weight_hr_l{layer}")
    return found


def _added(layout: Layout) -> list[str]:
    return [gate for gate in layout.entry.c_gates if gate not in layout.entry.apart]


def _in_order(rows: Array, layout: Layout, gates: Sequence[str]) -> Array:
    by_gate = _by_gate(rows, layout)
    return np.concatenate([by_gate[gate] for gate in gates])


def _by_gate(rows: Array, layout: Layout) -> dict[str, Array]:
    """Each gate's rows, with zeros behind them."""
    gates = layout.entry.gates
    parts = np.split(rows, len(gates))
    return {gate: _wider(of, 0, layout.padded) for gate, of in zip(gates, parts, strict=True)}


def _bias(network: StoredNetwork, layout: Layout, layer: int) -> Floats:
    """What the gates start from; zeros where the layers have no bias."""
    apart, none = layout.entry.apart, np.zeros(len(layout.entry.gates) * layout.hidden, np.float32)
    x, h = (
        _by_gate(network.weights.get(f"recurrent.layers.{name}_l{layer}", none), layout)
        for name in ("bias_ih", "bias_hh")
    )
    both = [(x[gate].astype(np.float64) + h[gate]).astype(np.float32) for gate in _added(layout)]
    return np.concatenate([*(x[gate] for gate in apart), *both, *(h[gate] for gate in apart)])


def _wider(array: Array, axis: int, size: int) -> Array:
    """``array`` with zeros behind it along ``axis``."""
    missing = [(0, size - array.shape[axis] if axis == of else 0) for of in range(array.ndim)]
    return np.pad(array, missing)


def _panels(matrix: Array, panel: int) -> Array:
    """Rows in panels, of each the columns one after another."""
    full = _wider(matrix, 0, up(len(matrix), panel))
    return full.reshape(-1, panel, matrix.shape[1]).transpose(0, 2, 1)


def vocabulary_arrays(vocabulary: str, prefix: str) -> Iterator[str]:
    """The characters of the entries, and where each code point stands among them."""
    points = [ord(character) for character in vocabulary]
    entries = sorted(range(len(points)), key=points.__getitem__)
    size = len(points)
    yield _integers(f"const int32_t {prefix}_vocabulary[OUTPUTS]", [0, *points])
    yield _integers(f"static const int32_t known_points[{size}]", [points[e] for e in entries])
    yield _integers(f"static const int32_t known_entries[{size}]", [e + 1 for e in entries])


def _integers(declaration: str, values: Sequence[int]) -> str:
    return f"{declaration} = {{\n{lines(map(str, values))}\n}};"


def _numbers(name: str, values: Array) -> str:
    """An array of floats, of int8, or of the bits of float16."""
    flat = values.ravel()
    words: Iterable[str]
    if flat.dtype == np.float32:
        kind, words = "float", map(_literal, flat)
    elif flat.dtype == np.float16:
        kind, words = "small", (f"0x{bits:04x}" for bits in flat.view(np.uint16))
    else:
        kind, words = "small", map(str, flat.tolist())
    return f"ALIGNED static const {kind} {name}[{flat.size}] = {{\n{lines(words)}\n}};"


def _literal(value: np.float32) -> str:
    """The fewest digits that give the same float32 back."""
    if np.isnan(value):
        return "NAN"
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{value!s}f"


def lines(words: Iterable[str]) -> str:
    """Words between commas, in lines of up to 100 characters."""
    found, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > 100:
            found.append(line)
            line = "   "
        line += f" {word},"
    return "\n".join([*found, line])


def with_math(arrays: str) -> str:
    """The header that weights need which are not finite, and the weights."""
    needed = "NAN," in arrays or "INFINITY," in arrays
    return f"#include <math.h> /* NAN, INFINITY */\n\n{arrays}" if needed else arrays
