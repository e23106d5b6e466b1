"""A forecast inside one graph: read a history, then feed each value back as the next.

    (history, steps, noise, state) → (forecast, paths, next_state)

``paths`` are further streams beside the forecast, in the same ``Scan``: to each of their values
comes its number of ``noise`` times the spread of the residuals, before it is fed back. So their
quantiles spread as the errors of a forecast do.
"""

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, ModelProto, helper

from pipeline.export.compose import FLOAT, Core, call, constant, tensor
from pipeline.export.pieces import BY_HISTORY, BY_STEP, BY_STREAM, FILLED, STREAMS
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
        helper.make_node("Transpose", [STATE], ["rows"], perm=[1, 0, 2]),
        constant("no_value", np.zeros((1, 1, width), np.float32)),
        *call(FILLED, "history/", [HISTORY, "no_value"], ["history_filled", "no_history"]),
        *core.trunk("history/", "history_filled", "rows", "rows_after_history"),
        helper.make_node("Where", ["no_history", "rows", "rows_after_history"], ["rows_read"]),
        *call(STREAMS, "streams/", [NOISE, STEPS, "rows_read"], ["numbers", "starts", "streams"]),
        constant("no_number", np.zeros((1, 1), np.float32)),
        *call(FILLED, "numbers/", ["numbers", "no_number"], ["numbers_filled", "no_steps"]),
        *call(BY_STEP, "by_step/", ["numbers_filled"], ["numbers_by_step"]),
        core.apart("starts", "start"),
        helper.make_node(
            "Scan",
            [*core.each("start"), "numbers_by_step"],
            [*core.each("end"), "values_by_step"],
            body=_step(core, spread),
            num_scan_inputs=1,
        ),
        core.together("end", "ends"),
        constant("step_axis", np.array([1])),
        helper.make_node("Squeeze", ["values_by_step", "step_axis"], ["values_apart"]),
        *call(BY_STREAM, "values/", ["values_apart", STEPS], ["values"]),
        *call(BY_HISTORY, "forecast/", ["values", "streams"], [FORECAST, PATHS]),
        helper.make_node("Transpose", ["ends"], ["end_states"], perm=[1, 0, 2]),
        *call(BY_HISTORY, "state/", ["end_states", "streams"], ["state_made", "state_paths"]),
        helper.make_node("Transpose", ["rows_read"], ["state_read"], perm=[1, 0, 2]),
        helper.make_node("Where", ["no_steps", "state_read", "state_made"], [NEXT_STATE]),
    ]
    return core.assemble(nodes)


def known_spread(spread: Sequence[float] | None, network: Network) -> list[float]:
    """``spread``, or that of samples without noise where it is unknown."""
    return list(spread or [0.0] * network.head.out_features)


def _step(core: Core, spread: Sequence[float]) -> GraphProto:
    """The body of the scan: (each row, number) → (each next row, value)."""
    row = (FLOAT, 1, _STREAMS, core.rows_shape[2])
    nodes = [
        *core.head("next/", "before", "expected"),
        constant("spread", np.array([spread], np.float32)),
        helper.make_node("Mul", ["number", "spread"], ["residual"]),
        helper.make_node("Add", ["expected", "residual"], ["value"]),
        *core.inner_trunk("read/", "value", "before", "after"),
    ]
    return helper.make_graph(
        nodes,
        "step",
        [
            *(tensor(name, *row) for name in core.each("before")),
            tensor("number", FLOAT, _STREAMS, 1),
        ],
        [
            *(tensor(name, *row) for name in core.each("after")),
            tensor("value", FLOAT, 1, _STREAMS, len(spread)),
        ],
    )
