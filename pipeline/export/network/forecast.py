"""A forecast inside one graph: read a history, then feed each value back as the next.

    (history, steps, noise, state) → (forecast, paths, next_state)

A ``Scan`` runs one step per value. The head makes the next value of the state, and the trunk reads
it, which gives the next state. ``paths`` are samples of what may come instead, made in the same
``Scan``: to each of their values its number of ``noise`` is added, times the spread of the
residuals, before the value is fed back. So their quantiles spread as the errors of a forecast do.
"""

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, ModelProto, helper

from pipeline.export.network.compose import FLOAT, Core, call, constant, tensor
from pipeline.export.network.pieces import BY_HISTORY, BY_STEP, BY_STREAM, FILLED, STREAMS
from pipeline.model import Network
from pipeline.network_tensors import (
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

_STREAMS = f"{BATCH}+{BATCH}*{SAMPLES}"  # one for every history, and one for each of its samples


def forecast_graph(model: ModelProto, network: Network, spread: Sequence[float]) -> ModelProto:
    """The graph that forecasts, made of the core graph ``model`` of a series network.

    ``spread`` is the standard deviation of the residuals of each target, in raw units.

    Raises:
        ParityError: the core graph has another form than the exporter gives it.
    """
    core = Core(model, network)
    width = len(spread)
    nodes = [
        # Read the history. An empty one is filled with a step, whose effect is thrown away.
        helper.make_node("Transpose", [STATE], ["rows"], perm=[1, 0, 2]),
        constant("no_value", np.zeros((1, 1, width), np.float32)),
        *call(FILLED, "history/", [HISTORY, "no_value"], ["history_filled", "no_history"]),
        *core.trunk("history/", "history_filled", "rows", "rows_after_history"),
        helper.make_node("Where", ["no_history", "rows", "rows_after_history"], ["rows_read"]),
        # Repeat the state for the stream without noise and for each sample. Numbers for no steps
        # are filled with one step, too.
        *call(STREAMS, "streams/", [NOISE, STEPS, "rows_read"], ["numbers", "starts", "streams"]),
        constant("no_number", np.zeros((1, 1), np.float32)),
        *call(FILLED, "numbers/", ["numbers", "no_number"], ["numbers_filled", "no_steps"]),
        # Make and read one value of every stream per step.
        *call(BY_STEP, "by_step/", ["numbers_filled"], ["numbers_by_step"]),
        core.split_rows("starts", "start"),
        helper.make_node(
            "Scan",
            [*core.row_names("start"), "numbers_by_step"],
            [*core.row_names("end"), "values_by_step"],
            body=_step(core, spread),
            num_scan_inputs=1,
        ),
        core.join_rows("end", "ends"),
        # Put the streams first, drop the step of a filler, and part the forecast from its samples.
        constant("step_axis", np.array([1])),
        helper.make_node("Squeeze", ["values_by_step", "step_axis"], ["values_apart"]),
        *call(BY_STREAM, "values/", ["values_apart", STEPS], ["values"]),
        *call(BY_HISTORY, "forecast/", ["values", "streams"], [FORECAST, PATHS]),
        # The next state is that of the stream without noise, or that after the history where no
        # step was to be forecast.
        helper.make_node("Transpose", ["ends"], ["end_states"], perm=[1, 0, 2]),
        *call(BY_HISTORY, "state/", ["end_states", "streams"], ["state_made", "state_paths"]),
        helper.make_node("Transpose", ["rows_read"], ["state_read"], perm=[1, 0, 2]),
        helper.make_node("Where", ["no_steps", "state_read", "state_made"], [NEXT_STATE]),
    ]
    return core.assemble(nodes)


def known_spread(spread: Sequence[float] | None, targets: int) -> list[float]:
    """``spread`` of ``targets``, or zeros where it is unknown: samples then have no noise."""
    return list(spread or [0.0] * targets)


def _step(core: Core, spread: Sequence[float]) -> GraphProto:
    """The body of the Scan: (rows, number of each stream) → (next rows, value)."""
    row = (FLOAT, 1, _STREAMS, core.rows_shape[2])
    nodes = [
        *core.head("next/", "before", "expected"),
        constant("spread", np.array([spread], np.float32)),
        helper.make_node("Mul", ["number", "spread"], ["residual"]),
        helper.make_node("Add", ["expected", "residual"], ["value"]),
        *core.trunk_of_step("read/", "value", "before", "after"),
    ]
    return helper.make_graph(
        nodes,
        "step",
        [
            *(tensor(name, *row) for name in core.row_names("before")),
            tensor("number", FLOAT, _STREAMS, 1),
        ],
        [
            *(tensor(name, *row) for name in core.row_names("after")),
            tensor("value", FLOAT, 1, _STREAMS, len(spread)),
        ],
    )
