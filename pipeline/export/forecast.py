"""A forecast inside one graph: read a history, then feed each value back as the next.

    (history, steps, noise, state) → (forecast, paths, next_state)

``paths`` are further streams beside the forecast, in the same ``Scan``: to each of their values
comes its number of ``noise`` times the spread of the residuals, before it is fed back. So their
quantiles spread as the errors of a forecast do.
"""

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, ModelProto, helper

from pipeline.export.compose import FLOAT, Core, constant, tensor
from pipeline.export.pieces import BY_STREAM_3, FILLED, STREAMS, WITH_SAMPLES, WITHOUT_SAMPLES
from pipeline.model import Network
from pipeline.signature import (
    BATCH,
    FORECAST,
    HISTORY,
    NEXT_STATE,
    NOISE,
    PATHS,
    SAMPLES,
    STATE,
    STEPS,
)

_STREAMS = f"{BATCH}+{BATCH}*{SAMPLES}"  # of every history one, and its samples


def forecast_graph(model: ModelProto, network: Network, spread: Sequence[float]) -> ModelProto:
    """The graph that forecasts, made of the core graph of a series network.

    ``spread`` is the standard deviation of the residuals of each target, in raw units.
    """
    core = Core(model, network)
    width = len(spread)
    nodes = [
        constant("no_value", np.zeros((1, 1, width), np.float32)),
        *core.call(FILLED, "history/", [HISTORY, "no_value"], ["history_filled", "no_history"]),
        *core.trunk("history/", "history_filled", STATE, "state_after_history"),
        helper.make_node("Where", ["no_history", STATE, "state_after_history"], ["state_read"]),
        *core.call(
            STREAMS, "streams/", [NOISE, STEPS, "state_read"], ["numbers", "starts", "streams"]
        ),
        constant("no_number", np.zeros((1, 1), np.float32)),
        *core.call(FILLED, "numbers/", ["numbers", "no_number"], ["numbers_filled", "no_steps"]),
        helper.make_node("Transpose", ["numbers_filled"], ["numbers_by_step"], perm=[1, 0]),
        helper.make_node(
            "Scan",
            ["starts", "numbers_by_step"],
            ["ends", "values_by_step"],
            body=_step(core, network, spread),
            num_scan_inputs=1,
        ),
        *core.call(BY_STREAM_3, "values/", ["values_by_step", STEPS], ["values"]),
        *core.call(WITH_SAMPLES, "values/by_", ["values", "streams"], ["made"]),
        *core.call(WITHOUT_SAMPLES, "forecast/", ["made"], [FORECAST, PATHS]),
        *core.call(WITH_SAMPLES, "state/by_", ["ends", "streams"], ["all_ends"]),
        *core.call(WITHOUT_SAMPLES, "state/", ["all_ends"], ["state_forecast", "state_paths"]),
        helper.make_node("Where", ["no_steps", "state_read", "state_forecast"], [NEXT_STATE]),
    ]
    return core.assemble(nodes)


def _step(core: Core, network: Network, spread: Sequence[float]) -> GraphProto:
    """The body of the scan: (state, number) → (next state, value)."""
    state_shape = (_STREAMS, *network.signature.state.shape[1:])
    nodes = [
        *core.head("next/", "before", "expected"),
        constant("spread", np.array([spread], np.float32)[None]),  # [1, 1, targets]
        constant("inner_axes", np.array([1, 2])),
        helper.make_node("Unsqueeze", ["number", "inner_axes"], ["number_in_time"]),
        helper.make_node("Mul", ["number_in_time", "spread"], ["residual"]),
        helper.make_node("Add", ["expected", "residual"], ["value"]),
        *core.trunk("read/", "value", "before", "after"),
        constant("time_axis", np.array([1])),
        helper.make_node("Squeeze", ["value", "time_axis"], ["made"]),
    ]
    return helper.make_graph(
        nodes,
        "step",
        [tensor("before", FLOAT, *state_shape), tensor("number", FLOAT, _STREAMS)],
        [tensor("after", FLOAT, *state_shape), tensor("made", FLOAT, _STREAMS, len(spread))],
    )
