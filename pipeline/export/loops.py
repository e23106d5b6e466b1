"""The graph with the loop inside, made of the core graph and checked against it."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from pipeline.contract.law import allowed, deviation
from pipeline.errors import ParityError
from pipeline.export.checks import cpu_session, format_breaches
from pipeline.export.forecast import forecast_graph, known_spread
from pipeline.export.generate import generate_graph
from pipeline.model import Network
from pipeline.signature import (
    HISTORY,
    INPUT,
    NOISE,
    PROMPT,
    STATE,
    STEPS,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    UNIFORM,
    loop,
)

_BATCH, _READ, _STEPS = 2, 3, 5  # what the check runs


def export_loop(onnx_file: bytes, network: Network, spread: Sequence[float] | None) -> bytes | None:
    """The graph that generates or forecasts, of the core graph in ``onnx_file``; None if none can.

    ``spread`` is the standard deviation of the residuals of each target; without it, samples have
    no noise.

    Raises:
        ParityError: the graph is not sound, or does not go the way of the core graph.
    """
    contract = loop(network.config)
    if contract is None:
        return None
    core = onnx.load_from_string(onnx_file)
    if network.vocabulary is not None:
        model = generate_graph(core, network)
    else:
        model = forecast_graph(core, network, known_spread(spread, network))
    if breaches := list(format_breaches(model)):
        raise ParityError(f"the graph '{contract.name}' is not sound: {'; '.join(breaches)}")
    file: bytes = model.SerializeToString(deterministic=True)
    _check(file, onnx_file, network)
    return file


def _check(file: bytes, onnx_file: bytes, network: Network) -> None:
    """Compare the likeliest text, or the forecast, with the core graph called step by step."""
    vocabulary, scaler = network.vocabulary, network.scaler
    state = network.zero_state(_BATCH).numpy()
    given: NDArray[np.int64] | NDArray[np.float32]
    if vocabulary is not None:
        points = np.array([ord(character) for character in vocabulary])
        given = np.resize(points, (_BATCH, _READ))
        feeds = {
            PROMPT: given,
            UNIFORM: np.zeros((_BATCH, _STEPS), np.float32),
            TEMPERATURE: np.array(0, np.float32),
            TOP_K: np.array(0),
            TOP_P: np.array(1, np.float32),
        }
    else:
        assert scaler is not None
        given = np.tile(np.array(scaler.input_mean, np.float32), (_BATCH, _READ, 1))
        noise = np.zeros((_BATCH, 1, _STEPS), np.float32)
        feeds = {HISTORY: given, STEPS: np.array(_STEPS), NOISE: noise}
    made, beside, after = cpu_session(file).run(None, feeds | {STATE: state})
    core, expected = cpu_session(onnx_file), []
    for _ in range(_STEPS):
        output, state = core.run(None, {INPUT: given, STATE: state})
        given = output[:, -1:] if vocabulary is None else points[output[:, -1:, 1:].argmax(-1)]
        expected.append(given)
    _, state = core.run(None, {INPUT: given, STATE: state})
    pairs = [(made, np.concatenate(expected, axis=1)), (after, state)]
    if vocabulary is None:
        pairs.append((beside[:, 0], made))
    if not all(deviation("", y, wanted, allowed(wanted, 0.0)).within for y, wanted in pairs):
        raise ParityError("the graph with the loop does not go the way of the core graph")
