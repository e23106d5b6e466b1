"""A network as one header and one source in C99, with the weights inside.

``model.h`` and ``model.c`` beside this file are what is generated, less what depends on the
network: conditions on its kind, the names of its functions, its sizes and its weights, and the step
of its cell, which is among the cells.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from pipeline.cells import ENTRIES
from pipeline.config import TextModel
from pipeline.contract import Bundle
from pipeline.contract.network import StoredNetwork, stored_network
from pipeline.errors import UsageError
from pipeline.escaping import c_comment, c_string
from pipeline.network_tensors import state_rows
from pipeline.storage import sha256

Floats = NDArray[np.float32]

# MODEL_H guards the header.
_PUBLIC = ("H", "FEATURES", "OUTPUTS", "ROWS", "HIDDEN", "STATE", "BLOCK", "SCRATCH")
_LANES = (16, 8, 4)  # numbers in a vector
_PANELS = (64, 32, 16, 8, 4)  # rows in a panel
_PIECE = 64  # columns of a panel that are read at once: 16 KB, half of a small first-level cache
_MATRICES = ("input_weights", "hidden_weights")  # of a layer
_LONGEST = 64  # characters of a name in names in C
_LONGEST_DIGEST = 128  # digits; SHA-256 has 64
# Beginnings of our own names, and of functions as sem_init in POSIX and C11.
_TAKEN = re.compile("model|((atomic|cnd|mtx|posix|pthread|sem|svc)(_|$))")
_WASTE = 1.25  # by how much rows of zeros may lengthen what is computed


def c_source(bundle: Bundle) -> dict[str, bytes]:
    """``model.h`` and ``model.c`` of a bundle; the same bytes for the same bundle.

    Raises:
        UsageError: the network reads whole sequences, and has no state to carry; or what should be
            a digest is none.
    """
    manifest = bundle.manifest
    if manifest.model is None or manifest.checkpoint_sha256 is None:
        raise UsageError(
            f"{manifest.name} is a module, and C is generated from built-in networks alone; embed "
            "it for a target that runs ONNX or TorchScript"
        )
    return write_c(stored_network(bundle), manifest.name, manifest.checkpoint_sha256)


def write_c(network: StoredNetwork, name: str, digest: str) -> dict[str, bytes]:
    """``model.h`` and ``model.c`` of a network called ``name``; see :func:`c_source`.

    Whatever ``name`` and ``digest`` are, they stand there in comments and strings.
    """
    if not state_rows(network.config):
        raise UsageError(
            f"{name} reads whole sequences in both directions and has no state to step with; "
            "C and WebAssembly need a network in one direction, so choose another target"
        )
    if len(digest) > _LONGEST_DIGEST:
        raise UsageError(f"{name} has a digest of {len(digest)} characters; export it anew")
    layout = _Layout(network)
    prefix = identifier(name)
    parts = {
        "TITLE": _title(name, digest, layout),
        "WEIGHTS": _with_math("\n".join(_weights(network, layout, prefix))),
        "LAYERS": _layer_table(layout),
        "NAMES": _names(prefix, digest, layout),
    }
    header = parts | {
        "TITLE": _title(name, digest, layout, _use(prefix, layout)),
        "SIZES": _defines(_public_sizes(layout), f"{prefix.upper()}_"),
        "SCRATCH": _scratch(layout, prefix),
    }
    source = parts | {
        "SIZES": _defines(layout.sizes),
        "GATE": layout.entry.c_gate,
        "CELL": _template("pipeline.cells", f"{network.config.cell}.c", layout.kinds).rstrip(),
    }
    return {
        "model.h": _fill("model.h", header, layout.kinds, prefix),
        "model.c": _fill("model.c", source, layout.kinds, prefix),
    }


def identifier(name: str) -> str:
    """What all names of a model begin with in C: ``sine-lstm`` gives ``sine_lstm``.

    A name that is more than small letters, digits and single hyphens, or that a library could have
    taken, ends in a digest of it, so that two models never share one.
    """
    words = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")[:_LONGEST]
    is_own = words != "" and words.replace("_", "-") == name and not _TAKEN.match(words)
    prefix = words if words[:1].isalpha() else f"model_{words}".rstrip("_")
    return prefix if is_own else f"{prefix}_{sha256(name.encode('utf-8', 'surrogatepass'))[:8]}"


class _Layout:
    """How the weights of a network are cut up."""

    def __init__(self, network: StoredNetwork) -> None:
        config = network.config
        self.entry = ENTRIES[config.cell]
        self.hidden, self.layers = config.hidden_size, config.num_layers
        self.h_columns, self.projected = config.h_size, bool(config.proj_size)
        self.outputs = len(network.weights["head.bias"])
        self.is_text = isinstance(config, TextModel)
        self.rows = len(state_rows(config))
        self.x_columns = config.embedding_size if isinstance(config, TextModel) else config.features
        self.features = 1 if self.is_text else self.x_columns
        self.lanes, self.padded = _padding(self.hidden)
        rows = len(self.entry.gates) * self.padded
        fits = [size for size in _PANELS if size >= self.lanes and rows % size == 0]
        most = _WASTE * self.outputs if self.is_text else np.inf  # logits lie in panels, too
        self.panel = next((size for size in fits if _up(self.outputs, size) <= most), fits[-1])
        self.kinds = {
            "TEXT": self.is_text,
            "PROJECTION": self.projected,
            "RELU": config.nonlinearity == "relu",
            "GATED": self.entry.is_gated,
            "APART": bool(self.entry.apart),
            "CELL_STATE": self.entry.has_c,
        }

    def inputs(self, layer: int) -> int:
        """Columns of what a layer reads."""
        return self.h_columns if layer else self.x_columns

    @property
    def sizes(self) -> dict[str, int | str]:
        """What the functions are compiled with."""
        projected = {"PROJECTED": _up(self.h_columns, self.panel)} if self.projected else {}
        embedding = {"EMBEDDING": self.x_columns} if self.is_text else {}
        return {
            "INPUT": "int64_t" if self.is_text else "float",
            "FEATURES": self.features,
            **embedding,
            "LAYERS": self.layers,
            "HIDDEN": self.hidden,
            "H_COLUMNS": self.h_columns,
            "OUTPUTS": self.outputs,
            "PADDED": self.padded,
            "ROWS": len(self.entry.gates) * self.padded,
            "GATES": (len(self.entry.gates) + len(self.entry.apart)) * self.padded,
            "WIDTH": max(self.padded, _up(self.x_columns, self.lanes)),
            **projected,
            "PANEL": self.panel,
            "PIECE": _PIECE,
            "WIDEST": self.lanes,
        }


def _padding(hidden: int) -> tuple[int, int]:
    """Numbers in a vector, and the length of a gate with zeros behind it."""
    fits = {lanes: _up(hidden, lanes) for lanes in _LANES}
    most = max(_WASTE * hidden, fits[4])
    return next((lanes, length) for lanes, length in fits.items() if length <= most)


def _up(size: int, step: int) -> int:
    return -(-size // step) * step


def _weights(network: StoredNetwork, layout: _Layout, prefix: str) -> Iterator[str]:
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
        yield _floats("head_bias", _wider(bias, 0, _up(len(bias), layout.panel)))
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


def _layer(layer: int, tensors: dict[str, Floats], layout: _Layout) -> Iterator[str]:
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
    full = _wider(matrix, 0, _up(len(matrix), panel))
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


def _layer_table(layout: _Layout) -> str:
    rows = []
    for layer in range(layout.layers):
        names = [*_MATRICES, "bias", *(["projection"] if layout.projected else [])]
        arrays = ", ".join(f"{name}_{layer}" for name in names)
        rows.append(f"    {{{arrays}, {layout.inputs(layer)}}},")
    return "\n".join(["static const struct layer layers[LAYERS] = {", *rows, "};"])


def _public_sizes(layout: _Layout) -> dict[str, int | str]:
    return {
        "FEATURES": layout.features,
        "OUTPUTS": layout.outputs,
        "ROWS": layout.rows,
        "HIDDEN": layout.hidden,
        "STATE": f"({layout.rows} * {layout.hidden})",
    }


def _scratch(layout: _Layout, prefix: str) -> str:
    """The bytes of a block in terms of its size: y and x of each step, and c of one."""
    sizes, upper = layout.sizes, prefix.upper()
    of_each = 4 * (int(sizes["GATES"]) + int(sizes["WIDTH"]))
    of_c = f" + {4 * layout.padded}" if layout.entry.has_c else ""
    return f"#define {upper}_SCRATCH ({upper}_BLOCK * {of_each}{of_c})"


def _defines(values: dict[str, int | str], prefix: str = "") -> str:
    return "\n".join(f"#define {prefix}{name} {value}" for name, value in values.items())


def _names(prefix: str, digest: str, layout: _Layout) -> str:
    functions = ["init", "step", "run", "run_batch"]
    functions += ["logits", "vocabulary"] if layout.is_text else []
    lines = [
        f"#define MODEL_CHECKPOINT {c_string(digest)}",
        f"#define MODEL_TEXT {int(layout.is_text)}",
        f"#define MODEL_INPUT {layout.sizes['INPUT']}",
    ]
    lines += [f"#define MODEL_{size} {prefix.upper()}_{size}" for size in _public_sizes(layout)]
    lines += [f"#define model_{function} {prefix}_{function}" for function in functions]
    return "\n".join(lines)


def _title(name: str, digest: str, layout: _Layout, use: str = "") -> str:
    kind = "text, character by character" if layout.is_text else "a series, step by step"
    title, of = c_comment(name), c_comment(digest)
    return f"/* {title}: a recurrent network for {kind}, in C99.\n   Checkpoint {of}.{use} */"


def _use(prefix: str, layout: _Layout) -> str:
    """How the functions are called, as the rest of a comment."""
    upper, given = prefix.upper(), "'A'" if layout.is_text else "input"
    lines = [
        f"float state[{upper}_STATE], output[{upper}_OUTPUTS];",
        *([] if layout.is_text else [f"float input[{upper}_FEATURES] = {{0}};"]),
        f"{prefix}_init(state);",
        f"{prefix}_step(state, {given}, output);",
    ]
    code = "\n".join(f"       {line}" for line in lines)
    return f"\n\n{code}\n\n   Each stream has its own state; nothing else is kept between calls."


def _with_math(arrays: str) -> str:
    """The header that weights need which are not finite, and the weights."""
    needed = "NAN," in arrays or "INFINITY," in arrays
    return f"#include <math.h> /* NAN, INFINITY */\n\n{arrays}" if needed else arrays


def _fill(file: str, parts: dict[str, str], kinds: dict[str, bool], prefix: str) -> bytes:
    """A template of ours with its parts put in."""
    text = _template("pipeline.embed.c", file, kinds)
    text = re.sub(r"\bmodel_(?=[a-z])", f"{prefix}_", text)
    text = re.sub(rf"\bMODEL_(?={'|'.join(_PUBLIC)})", f"{prefix.upper()}_", text)
    places = "|".join(parts)
    return re.sub(rf"/\* ({places}) \*/", lambda place: parts[place[1]], text).encode("ascii")


def _template(package: str, file: str, kinds: dict[str, bool]) -> str:
    """A file of ``package``, without what is for networks of another kind."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    return "\n".join(_of_kind(text.split("\n"), kinds))


def _of_kind(lines: Iterable[str], kinds: dict[str, bool]) -> Iterator[str]:
    """The lines whose conditions on the kind of the network hold, without these conditions."""
    open_conditions: list[bool | None] = []  # None is for conditions that the compiler looks at
    for line in lines:
        word, _, rest = line.partition(" ")
        condition = rest.split(" || ")
        if word in ("#if", "#ifdef", "#ifndef"):
            ours = word == "#if" and set(condition) <= set(kinds)
            open_conditions.append(any(kinds[kind] for kind in condition) if ours else None)
            is_kept = not ours
        elif word in ("#else", "#elif") and open_conditions[-1] is not None:
            open_conditions[-1] = not open_conditions[-1]
            is_kept = False
        elif word == "#endif":
            is_kept = open_conditions.pop() is None
        else:
            is_kept = True
        if is_kept and all(held is not False for held in open_conditions):
            yield line
