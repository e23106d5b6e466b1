"""Text generation inside one graph: read a prompt, then draw character after character.

    (prompt, uniform, temperature, top_k, top_p, state) → (text, log_prob, next_state)

Every character is drawn from what the state says comes next and is then read, in one ``Scan``. So
an empty prompt goes on from ``state``, and ``next_state`` has read all that was written.
"""

import numpy as np
from onnx import GraphProto, ModelProto, helper

from pipeline.export.compose import BOOL, FLOAT, INT64, Core, constant, cut, tensor
from pipeline.export.pieces import BY_STREAM, FILLED, SAMPLE, SETTINGS
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
)

# What the sampler takes of the settings. The body gets it with the state: not every runtime lets a
# body look at what was computed outside.
_TAKEN = {"divisor": (FLOAT,), "count": (INT64, 1), "limit": (FLOAT,), "filtered": (BOOL,)}


def generate_graph(model: ModelProto, network: Network) -> ModelProto:
    """The graph that generates text, made of the core graph of a text network."""
    core = Core(model, network)
    settings = [TEMPERATURE, TOP_K, TOP_P, "size"]
    nodes = [
        constant("no_point", np.zeros((1, 1), np.int64)),
        *core.call(FILLED, "prompt/", [PROMPT, "no_point"], ["prompt_filled", "no_prompt"]),
        *core.trunk("prompt/", "prompt_filled", STATE, "state_after_prompt"),
        helper.make_node("Where", ["no_prompt", STATE, "state_after_prompt"], ["state_read"]),
        constant("no_number", np.zeros((1, 1), np.float32)),
        *core.call(FILLED, "uniform/", [UNIFORM, "no_number"], ["uniform_filled", "no_steps"]),
        constant("size", np.array(len(network.vocabulary or ""))),
        *core.call(SETTINGS, "settings/", ["uniform_filled", *settings], ["numbers", *_TAKEN]),
        helper.make_node("Transpose", ["numbers"], ["numbers_by_step"], perm=[1, 0]),
        helper.make_node(
            "Scan",
            ["state_read", *_TAKEN, "numbers_by_step"],
            [
                "state_written",
                *(f"{name}_after" for name in _TAKEN),
                "points_by_step",
                "chances_by_step",
            ],
            body=_step(core, network),
            num_scan_inputs=1,
        ),
        helper.make_node("Shape", [UNIFORM], ["steps"], start=1),
        *core.call(BY_STREAM, "text/", ["points_by_step", "steps"], [TEXT]),
        *core.call(BY_STREAM, "log_prob/", ["chances_by_step", "steps"], [LOG_PROB]),
        helper.make_node("Where", ["no_steps", "state_read", "state_written"], [NEXT_STATE]),
    ]
    return core.assemble(nodes)


def _step(core: Core, network: Network) -> GraphProto:
    """The body of the scan: (state, number) → (next state, code point, log-probability)."""
    assert network.vocabulary is not None
    points = np.array([ord(character) for character in network.vocabulary])
    state_shape = network.signature.state.shape
    nodes = [
        *core.head("next/", "before", "logits"),
        # 0 is the unknown entry, which is never written.
        *cut("next/", "logits", "known_in_time", {2: (1, len(points) + 1)}),
        constant("time_axis", np.array([1])),
        helper.make_node("Squeeze", ["known_in_time", "time_axis"], ["known"]),
        *core.call(SAMPLE, "sample/", ["known", "number", *_TAKEN], ["index", "chance"]),
        *(helper.make_node("Identity", [name], [f"{name}_again"]) for name in _TAKEN),
        constant("points", points),
        helper.make_node("Gather", ["points", "index"], ["point"]),
        *core.trunk("read/", "point", "before", "after"),
        helper.make_node("Squeeze", ["point", "time_axis"], ["written"]),
        helper.make_node("Squeeze", ["chance", "time_axis"], ["log_chance"]),
    ]
    return helper.make_graph(
        nodes,
        "step",
        [
            tensor("before", FLOAT, *state_shape),
            *(tensor(name, *kind) for name, kind in _TAKEN.items()),
            tensor("number", FLOAT, BATCH),
        ],
        [
            tensor("after", FLOAT, *state_shape),
            *(tensor(f"{name}_again", *kind) for name, kind in _TAKEN.items()),
            tensor("written", INT64, BATCH),
            tensor("log_chance", FLOAT, BATCH),
        ],
    )
