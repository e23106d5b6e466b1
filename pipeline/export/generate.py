"""Text generation inside one graph: read a prompt, then draw character after character.

    (prompt, uniform, temperature, top_k, top_p, state) → (text, log_prob, next_state)

Every character is drawn from what the state says comes next and is then read, in one ``Scan``. So
an empty prompt goes on from ``state``, and ``next_state`` has read all that was written.
"""

import numpy as np
from onnx import GraphProto, ModelProto, helper, numpy_helper

from pipeline.export.compose import BOOL, FLOAT, INT64, Core, call, constant, tensor
from pipeline.export.pieces import BY_STEP, BY_STREAM, FILLED, SAMPLE, SETTINGS
from pipeline.model import Network
from pipeline.signature import (
    BATCH,
    LOG_PROB,
    NEXT_STATE,
    PROMPT,
    STATE,
    TEMPERATURE,
    TEXT,
    TOP_K,
    TOP_P,
    UNIFORM,
    UNKNOWN_INDEX,
)

_NEVER = -3.0e38  # the logit of an entry that is not written, whatever the others are

# What the sampler takes of the settings. The body gets it with each number: not every runtime lets
# a body look at what was computed outside, and what goes round with the state costs a node each.
_TAKEN = {"warm": BOOL, "divisor": FLOAT, "filtered": BOOL, "count": INT64, "limit": FLOAT}


def generate_graph(model: ModelProto, network: Network) -> ModelProto:
    """The graph that generates text, made of the core graph of a text network."""
    core = Core(model, network)
    points = np.array([ord(character) for character in network.vocabulary or ""])
    settings = [TEMPERATURE, TOP_K, TOP_P, "size"]
    nodes = [
        helper.make_node("Transpose", [STATE], ["rows"], perm=[1, 0, 2]),
        constant("no_point", np.zeros((1, 1), np.int64)),
        *call(FILLED, "prompt/", [PROMPT, "no_point"], ["prompt_filled", "no_prompt"]),
        *core.trunk("prompt/", "prompt_filled", "rows", "rows_after_prompt"),
        helper.make_node("Where", ["no_prompt", "rows", "rows_after_prompt"], ["rows_read"]),
        constant("no_number", np.zeros((1, 1), np.float32)),
        *call(FILLED, "uniform/", [UNIFORM, "no_number"], ["uniform_filled", "no_steps"]),
        constant("size", np.array(len(points))),
        *call(SETTINGS, "settings/", ["uniform_filled", *settings], ["numbers", *_TAKEN]),
        *call(BY_STEP, "by_step/", ["numbers"], ["numbers_by_step"]),
        helper.make_node("Shape", ["uniform_filled"], ["steps_filled"], start=1),
        *(
            helper.make_node("Expand", [name, "steps_filled"], [f"{name}_by_step"])
            for name in _TAKEN
        ),
        core.apart("rows_read", "row_read"),
        helper.make_node(
            "Scan",
            [*core.each("row_read"), *(f"{name}_by_step" for name in _TAKEN), "numbers_by_step"],
            [*core.each("row_written"), "entries", "chances"],
            body=_step(core),
            num_scan_inputs=len(_TAKEN) + 1,
        ),
        core.together("row_written", "rows_written"),
        constant("points", np.array([0, *points])),
        helper.make_node("Gather", ["points", "entries"], ["points_by_step"]),
        helper.make_node("Transpose", ["points_by_step"], ["points_apart"], perm=[0, 2, 1]),
        helper.make_node("Shape", [UNIFORM], ["steps"], start=1),
        constant("last_axis", np.array([2])),
        *call(BY_STREAM, "text/", ["points_apart", "steps"], ["text_apart"]),
        helper.make_node("Squeeze", ["text_apart", "last_axis"], [TEXT]),
        *call(BY_STREAM, "log_prob/", ["chances", "steps"], ["log_prob_apart"]),
        helper.make_node("Squeeze", ["log_prob_apart", "last_axis"], [LOG_PROB]),
        helper.make_node("Where", ["no_steps", "rows_read", "rows_written"], ["rows_last"]),
        helper.make_node("Transpose", ["rows_last"], [NEXT_STATE], perm=[1, 0, 2]),
    ]
    return core.assemble(nodes)


def _step(core: Core) -> GraphProto:
    """The body of the scan: (each row, number) → (each next row, entry, log-probability)."""
    bias = numpy_helper.to_array(core.weights["head.bias"]).copy()
    bias[UNKNOWN_INDEX] = _NEVER
    row = (FLOAT, 1, *core.rows_shape[1:])
    nodes = [
        constant("known_bias", bias),
        *core.head("next/", "before", "logits", {"head.bias": "known_bias"}),
        *call(SAMPLE, "sample/", ["logits", "number", *_TAKEN], ["entry", "chance"]),
        *core.inner_trunk("read/", "entry", "before", "after"),
        # Some runtimes want nothing to be read that comes out.
        helper.make_node("Identity", ["entry"], ["written"]),
    ]
    return helper.make_graph(
        nodes,
        "step",
        [
            *(tensor(name, *row) for name in core.each("before")),
            *(tensor(name, type_) for name, type_ in _TAKEN.items()),
            tensor("number", FLOAT, BATCH, 1),
        ],
        [
            *(tensor(name, *row) for name in core.each("after")),
            tensor("written", INT64, 1, BATCH),
            tensor("chance", FLOAT, BATCH, 1),
        ],
    )
