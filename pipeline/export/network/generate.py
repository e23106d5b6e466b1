"""Text generation inside one graph: read a prompt, then draw character after character.

    (prompt, uniform, temperature, top_k, top_p, state) → (text, log_prob, next_state)

A ``Scan`` runs one step per character. The head makes logits of the state, the sampler draws a
character from them, and the trunk reads it, which gives the next state. So an empty prompt goes on
from ``state``, and ``next_state`` has read all that was written.
"""

import numpy as np
from onnx import GraphProto, ModelProto, helper, numpy_helper

from pipeline.export.network.compose import BOOL, FLOAT, INT64, Core, call, constant, tensor
from pipeline.export.network.pieces import BY_STEP, BY_STREAM, FILLED, SAMPLE, SETTINGS
from pipeline.model import Network
from pipeline.network_tensors import (
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

_NEVER = -3.0e38  # a logit so low that the entry is never drawn, whatever the others are

# What the sampler makes of its settings, once for all steps. The loop gets it with every step: not
# every runtime lets the body of a Scan read a tensor outside of it, and to carry it with the state
# would cost a node for each. In the order of the results of SETTINGS and the parameters of SAMPLE.
SAMPLER = {"warm": BOOL, "divisor": FLOAT, "filtered": BOOL, "count": INT64, "limit": FLOAT}


def generate_graph(model: ModelProto, network: Network) -> ModelProto:
    """The graph that generates text, made of the core graph ``model`` of a text network.

    Raises:
        ParityError: the core graph has another form than the exporter gives it.
    """
    core = Core(model, network)
    points = np.array([ord(character) for character in network.vocabulary or ""])
    settings = [TEMPERATURE, TOP_K, TOP_P, "size"]
    by_step = [f"{name}_by_step" for name in SAMPLER]
    nodes = [
        # Read the prompt. An empty one is filled with a step, whose effect is thrown away.
        helper.make_node("Transpose", [STATE], ["rows"], perm=[1, 0, 2]),
        constant("no_point", np.zeros((1, 1), np.int64)),
        *call(FILLED, "prompt/", [PROMPT, "no_point"], ["prompt_filled", "no_prompt"]),
        *core.trunk("prompt/", "prompt_filled", "rows", "rows_after_prompt"),
        helper.make_node("Where", ["no_prompt", "rows", "rows_after_prompt"], ["rows_read"]),
        # Bring the random numbers and the settings into the form that the sampler wants. Numbers
        # for no steps are filled with one step, too.
        constant("no_number", np.zeros((1, 1), np.float32)),
        *call(FILLED, "uniform/", [UNIFORM, "no_number"], ["uniform_filled", "no_steps"]),
        constant("size", np.array(len(points))),
        *call(SETTINGS, "settings/", ["uniform_filled", *settings], ["numbers", *SAMPLER]),
        # A Scan takes one slice per step of its inputs: the numbers, and each setting repeated.
        *call(BY_STEP, "by_step/", ["numbers"], ["numbers_by_step"]),
        helper.make_node("Shape", ["uniform_filled"], ["steps_filled"], start=1),
        *(
            helper.make_node("Expand", [name, "steps_filled"], [repeated])
            for name, repeated in zip(SAMPLER, by_step, strict=True)
        ),
        # Draw and read one character per step.
        core.split_rows("rows_read", "row_read"),
        helper.make_node(
            "Scan",
            [*core.row_names("row_read"), *by_step, "numbers_by_step"],
            [*core.row_names("row_written"), "entries", "chances"],
            body=_step(core),
            num_scan_inputs=len(by_step) + 1,
        ),
        core.join_rows("row_written", "rows_written"),
        # Turn entries into code points, put the batch first, and drop the step of a filler.
        constant("points", np.array([0, *points])),
        helper.make_node("Gather", ["points", "entries"], ["points_by_step"]),
        helper.make_node("Transpose", ["points_by_step"], ["points_apart"], perm=[0, 2, 1]),
        helper.make_node("Shape", [UNIFORM], ["steps"], start=1),
        constant("last_axis", np.array([2])),
        *call(BY_STREAM, "text/", ["points_apart", "steps"], ["text_apart"]),
        helper.make_node("Squeeze", ["text_apart", "last_axis"], [TEXT]),
        *call(BY_STREAM, "log_prob/", ["chances", "steps"], ["log_prob_apart"]),
        helper.make_node("Squeeze", ["log_prob_apart", "last_axis"], [LOG_PROB]),
        # Where nothing was to be written, the state is the one after the prompt.
        helper.make_node("Where", ["no_steps", "rows_read", "rows_written"], ["rows_last"]),
        helper.make_node("Transpose", ["rows_last"], [NEXT_STATE], perm=[1, 0, 2]),
    ]
    return core.assemble(nodes)


def _step(core: Core) -> GraphProto:
    """The body of the Scan: (rows, settings, number) → (next rows, entry, log-probability)."""
    # The unknown entry is no character: its logit gets a bias with which it is never drawn.
    bias = numpy_helper.to_array(core.weights[core.bias]).copy()
    bias[UNKNOWN_INDEX] = _NEVER
    row = (FLOAT, 1, *core.rows_shape[1:])
    nodes = [
        constant("known_bias", bias),
        *core.head("next/", "before", "logits", {core.bias: "known_bias"}),
        *call(SAMPLE, "sample/", ["logits", "number", *SAMPLER], ["entry", "chance"]),
        *core.trunk_of_step("read/", "entry", "before", "after"),
        # Some runtimes refuse an output that a node of the body reads; a copy comes out instead.
        helper.make_node("Identity", ["entry"], ["written"]),
    ]
    return helper.make_graph(
        nodes,
        "step",
        [
            *(tensor(name, *row) for name in core.row_names("before")),
            *(tensor(name, type_) for name, type_ in SAMPLER.items()),
            tensor("number", FLOAT, BATCH, 1),
        ],
        [
            *(tensor(name, *row) for name in core.row_names("after")),
            tensor("written", INT64, 1, BATCH),
            tensor("chance", FLOAT, BATCH, 1),
        ],
    )
