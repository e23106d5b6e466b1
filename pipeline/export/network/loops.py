"""The graph with the loop inside, made of the core graph and checked against it."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from pipeline.contract.law import allowed, deviation
from pipeline.errors import ParityError
from pipeline.export.graph import describe
from pipeline.export.graph_checks import format_breaches
from pipeline.export.network.forecast import forecast_graph, known_spread
from pipeline.export.network.generate import generate_graph
from pipeline.export.session import cpu_session
from pipeline.model import Network
from pipeline.network_tensors import (
    FORECAST,
    HISTORY,
    INPUT,
    NEXT_STATE,
    NOISE,
    OUTPUT,
    PATHS,
    PROMPT,
    STATE,
    STEPS,
    TEMPERATURE,
    TEXT,
    TOP_K,
    TOP_P,
    UNIFORM,
    Loop,
    loop,
)

_BATCH, _READ, _STEPS = 2, 3, 5  # what the check runs


def export_loop(onnx_file: bytes, network: Network, spread: Sequence[float] | None) -> bytes | None:
    """The graph that generates or forecasts, made of the core graph in ``onnx_file``.

    None where the outputs of the network cannot be its next inputs. ``spread`` is the standard
    deviation of the residuals of each target; without it, samples have no noise.

    Raises:
        ParityError: the core graph has an unknown form, or the graph made of it is not sound or
            gives other numbers.
    """
    contract = loop(network.config)
    if contract is None:
        return None
    core = onnx.load_from_string(onnx_file)
    if network.vocabulary is not None:
        model = generate_graph(core, network)
    else:
        model = forecast_graph(core, network, known_spread(spread, network.head.out_features))
    describe(model, (*contract.inputs, *contract.outputs))
    if breaches := list(format_breaches(model)):
        raise ParityError(f"the graph '{contract.name}' is not sound: {'; '.join(breaches)}")
    file: bytes = model.SerializeToString(deterministic=True)
    _check(file, onnx_file, network, contract)
    return file


def _check(file: bytes, onnx_file: bytes, network: Network, contract: Loop) -> None:
    """Compare one run of the loop with the core graph called step by step.

    A text takes the likeliest character each time; a forecast has one sample, without noise, which
    must equal it.
    """
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
    names = [spec.name for spec in contract.outputs]
    made = dict(zip(names, cpu_session(file).run(names, feeds | {STATE: state}), strict=True))

    core, steps = cpu_session(onnx_file), []
    for _ in range(_STEPS):
        output, state = core.run([OUTPUT, NEXT_STATE], {INPUT: given, STATE: state})
        # Column 0 of the logits is the unknown entry, which is never written.
        given = output[:, -1:] if vocabulary is None else points[output[:, -1:, 1:].argmax(-1)]
        steps.append(given)
    (state,) = core.run([NEXT_STATE], {INPUT: given, STATE: state})

    expected = np.concatenate(steps, axis=1)
    pairs = [(made[NEXT_STATE], state)]
    if vocabulary is None:
        pairs += [(made[FORECAST], expected), (made[PATHS][:, 0], made[FORECAST])]
    else:
        pairs.append((made[TEXT], expected))
    if not all(deviation("", y, wanted, allowed(wanted, 0.0)).within for y, wanted in pairs):
        raise ParityError(
            f"the graph '{contract.name}' gives other numbers than the core graph called step by "
            "step"
        )
