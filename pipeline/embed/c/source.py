"""A network as one header and one source in C99, with the weights inside.

``model.h`` and ``model.c`` beside this file are what is generated, less what depends on the
network: conditions on its kind, the names of its functions, its sizes and its weights, and the step
of its cell, which is among the cells.
"""

import re
from collections.abc import Mapping

from pipeline.contract import Bundle
from pipeline.contract.network import StoredNetwork, stored_network
from pipeline.embed.c.arrays import tables, weights, with_math
from pipeline.embed.c.layout import Layout
from pipeline.embed.c.template import fill, template
from pipeline.errors import UsageError
from pipeline.escaping import c_comment, c_string
from pipeline.network_tensors import state_rows
from pipeline.storage import sha256

_LONGEST = 64  # characters of a name in names in C
_LONGEST_DIGEST = 128  # digits; SHA-256 has 64
# Beginnings of our own names, and of functions as sem_init in POSIX and C11.
_TAKEN = re.compile("model|((atomic|cnd|mtx|posix|pthread|sem|svc)(_|$))")


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
    layout = Layout(network)
    prefix = identifier(name)
    parts = {
        "TITLE": _title(name, digest, layout),
        "WEIGHTS": with_math("\n".join(weights(network, layout, prefix))),
        "LAYERS": tables(network, layout),
        "NAMES": _names(prefix, digest, layout),
    }
    header = parts | {
        "TITLE": _title(name, digest, layout, _use(prefix, layout)),
        "SIZES": defines(_public_sizes(layout), f"{prefix.upper()}_"),
        "SCRATCH": _scratch(layout, prefix),
    }
    source = parts | {
        "SIZES": defines(layout.sizes),
        "GATE": layout.entry.c_gate,
        "LOOKUP": template("pipeline.embed.c", "lookup.c", layout.kinds).rstrip(),
        "CELL": template("pipeline.cells", f"{network.config.cell}.c", layout.kinds).rstrip(),
    }
    return {
        "model.h": fill("model.h", header, layout.kinds, prefix),
        "model.c": fill("model.c", source, layout.kinds, prefix),
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


def _public_sizes(layout: Layout) -> dict[str, int | str]:
    return {
        "FEATURES": layout.features,
        "OUTPUTS": layout.outputs,
        "ROWS": layout.rows,
        "HIDDEN": layout.hidden,
        "STATE": f"({layout.rows} * {layout.hidden})",
    }


def _scratch(layout: Layout, prefix: str) -> str:
    """The bytes of a block in terms of its size: y and x of each step, and c of one."""
    sizes, upper = layout.sizes, prefix.upper()
    of_each = 4 * (int(sizes["GATES"]) + int(sizes["WIDTH"]))
    of_c = f" + {4 * layout.padded}" if layout.entry.has_c else ""
    return f"#define {upper}_SCRATCH ({upper}_BLOCK * {of_each}{of_c})"


def defines(values: Mapping[str, int | str], prefix: str = "") -> str:
    """A macro for each value."""
    return "\n".join(f"#define {prefix}{name} {value}" for name, value in values.items())


def _names(prefix: str, digest: str, layout: Layout) -> str:
    functions = ["init", "step", "run", "run_batch"]
    functions += ["logits", "vocabulary"] if layout.is_text else []
    lines = [
        '#define MODEL_TARGET "c"',
        f"#define MODEL_CHECKPOINT {c_string(digest)}",
        f"#define MODEL_TEXT {int(layout.is_text)}",
        f"#define MODEL_INPUT {layout.sizes['INPUT']}",
        "#define MODEL_WORD float",
        "#define MODEL_GIVEN(number, feature) (number)",
        "#define MODEL_NUMBER(output, target) (output)",
    ]
    lines += [f"#define MODEL_{size} {prefix.upper()}_{size}" for size in _public_sizes(layout)]
    lines += [f"#define model_{function} {prefix}_{function}" for function in functions]
    return "\n".join(lines)


def _title(name: str, digest: str, layout: Layout, use: str = "") -> str:
    kind = "text, character by character" if layout.is_text else "a series, step by step"
    title, of = c_comment(name), c_comment(digest)
    return f"/* {title}: a recurrent network for {kind}, in C99.\n   Checkpoint {of}.{use} */"


def _use(prefix: str, layout: Layout) -> str:
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
