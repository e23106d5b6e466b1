"""The validator passes honest models, catches wrong ones, and says where."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
import torch
from references import reference_of
from tiny import validation_of

from pipeline.bundle import Bundle, network_of
from pipeline.bundle.network import network_reference
from pipeline.config import PRESETS, Cell, SeriesModel
from pipeline.contract import Scaler
from pipeline.contract.law import FLOAT32, Array
from pipeline.model import Network
from pipeline.network_tensors import INPUT, NEXT_STATE, OUTPUT, STATE
from pipeline.runtimes.base import Input, Runtime, State
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.runtimes.pytorch import PyTorch
from pipeline.validate import CaseRecord, Row
from pipeline.validate import cases as shortened
from pipeline.validate.answered import Answered
from pipeline.validate.cases import BATCHES, LONG, MIDDLE, TIMES, case_of, make_cases
from pipeline.validate.compare import compare
from pipeline.validate.records import validation_schema
from pipeline.validate.run import validation_row
from pipeline.verify import Answer, answer, replay

Bundles = Callable[[str], Bundle]


Result = tuple[State, State]


@pytest.mark.parametrize("preset", PRESETS)
def test_an_honest_bundle_passes_on_every_runtime_of_this_machine(
    tiny_bundle: Bundles, preset: str
) -> None:
    bundle = tiny_bundle(preset)
    seen: list[Row] = []
    validation = validation_of(bundle, report=seen.append)  # more runtimes: test_runtimes.py
    assert validation.passed
    assert [row.status for row in seen] == ["pass"] * 5  # two are of the loop: test_loops.py
    seen = [row for row in seen if row.graph == "model"]
    assert validation.rows == tuple(seen)
    assert [row.format for row in seen] == ["PyTorch", "TorchScript", "ONNX"]
    assert all(row.status == "pass" and len(row.cases) == 41 for row in seen)
    assert seen[-1].placement == {
        "recurrent_0": "CPUExecutionProvider",
        "recurrent_1": "CPUExecutionProvider",
    }
    content = json.loads(json.dumps(validation.model_dump(mode="json")))
    jsonschema.validate(content, validation_schema())


@pytest.mark.parametrize("preset", ["char-lstm", "sine-rnn"])
def test_the_cases_are_those_of_the_design(tiny_bundle: Bundles, preset: str) -> None:
    bundle = tiny_bundle(preset)
    cases = list(make_cases(reference_of(bundle)))
    whole = {(case.batch, case.time) for case in cases if case.name == "whole"}
    assert whole == {(batch, time) for batch in BATCHES for time in shortened.TIMES}
    assert BATCHES == (1, 3, 32)
    assert TIMES == (1, 2, 7, 50, MIDDLE, LONG)  # as they were before tests made them shorter
    assert (MIDDLE, LONG) == (333, 1000)
    strange = "unknown characters" if preset == "char-lstm" else "values far outside"
    names = {case.name for case in cases}
    assert {"random chunks", "single steps", "permuted batch", strange} < names
    for case in cases:
        cuts = [call[INPUT].shape[1] for call in case.calls]
        assert sum(cuts) == case.time
        assert min(cuts) >= 1
        assert case.order is None or sorted(case.order) == list(range(case.batch))
        assert case.of_the_task == (case.name not in ("whole, random state", strange))
    for name in ("random chunks", "single steps", "whole, carried state", "permuted batch"):
        assert any(case.start[STATE].any() for case in cases if case.name == name)
    assert any(case.name == "single steps" and len(case.calls) == case.time for case in cases)
    assert [case.name for case in cases if case.followed] == ["long stream"]


class Faulty(Runtime):
    """A runtime that does to an honest one what ``fault`` says."""

    format, name, provider, home = "ONNX", "faulty", "cpu", "here"

    def __init__(self, honest: PyTorch, fault: Callable[[PyTorch, Input, State], Result]) -> None:
        self.honest, self.fault = honest, fault

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        return [*self.fault(self.honest, inputs[INPUT], inputs[STATE])]

    def placement(self) -> dict[str, str]:
        return {"recurrent_0": "here"}


def tampered(change: Callable[[State, State, State], Result]) -> Callable[..., Result]:
    """A fault that changes ``(output, next_state, state)`` after an honest call."""

    def fault(honest: PyTorch, input: Input, state: State) -> Result:
        output, next_state = honest.run(input, state)
        return change(output.copy(), next_state.copy(), state)

    return fault


def one_wrong(output: State, next_state: State, state: State) -> Result:
    output[-1, -1, -1] += 1e-3
    return output, next_state


def nan(output: State, next_state: State, state: State) -> Result:
    output[0, 0, 0] = np.nan
    return output, next_state


def infinite(output: State, next_state: State, state: State) -> Result:
    next_state[0, 0, 0] = -np.inf
    return output, next_state


def no_fault(honest: PyTorch, input: Input, state: State) -> Result:
    return honest.run(input, state)


FAULTS: dict[str, Callable[..., Result]] = {
    "state ignored": lambda m, x, s: m.run(x, np.zeros_like(s)),
    "state returned unchanged": tampered(lambda y, n, s: (y, s)),
    "last output repeated": tampered(lambda y, n, s: (np.repeat(y[:, -1:], y.shape[1], 1), n)),
    "one number off": tampered(one_wrong),
    "NaN": tampered(nan),
    "infinite": tampered(infinite),
    "rows of the state swapped": tampered(lambda y, n, s: (y, n[:, ::-1])),
    "batch reversed": tampered(lambda y, n, s: (y[::-1], n)),
    "time reversed": lambda m, x, s: m.run(np.ascontiguousarray(x[:, ::-1]), s),
    "batch frozen": lambda m, x, s: m.run(x[:2], s[:2]),
}


@pytest.fixture(scope="module", params=["sine-rnn", "char-lstm", "char-gru"])
def answered(tiny_bundle: Bundles, request: pytest.FixtureRequest) -> Answered:
    """PyTorch's answers to those cases that are soon run; an honest runtime passes them."""
    bundle = tiny_bundle(request.param)
    network = network_of(bundle)
    reference = network_reference(network, bundle.task_data())
    answers = [
        answer(reference.contract, case, reference.model, reference.twin)
        for case in make_cases(reference)
        if case.batch * case.time < 2000
    ]
    exact = Answered(reference, answers)
    assert validation_row("m", Faulty(PyTorch(network), no_fault), exact, FLOAT32).status == "pass"
    return exact


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_runtime_fails_and_the_place_is_named(answered: Answered, fault: str) -> None:
    pytorch = answered.reference.model
    assert isinstance(pytorch, PyTorch)
    row = validation_row("m", Faulty(pytorch, FAULTS[fault]), answered, FLOAT32)
    assert row.status == "fail"
    assert row.reason
    if fault in ("NaN", "infinite"):
        assert None in (row.output_error, row.state_error)
        assert row.share is None
    json.dumps(row.model_dump(mode="json"), allow_nan=False)


def test_a_runtime_that_crashes_is_a_row_that_says_so(tiny_bundle: Bundles) -> None:
    def crash(honest: PyTorch, input: Input, state: State) -> Result:
        raise RuntimeError("no kernel\nfor this node")

    network = network_of(tiny_bundle("sine-rnn"))
    answered = one_case(network)
    row = validation_row("m", Faulty(PyTorch(network), crash), answered, FLOAT32)
    assert (row.status, row.reason) == ("fail", "RuntimeError: no kernel for this node")


def test_a_recurrent_node_that_ran_elsewhere_fails_the_row(tiny_bundle: Bundles) -> None:
    network = network_of(tiny_bundle("sine-rnn"))
    runtime = Faulty(PyTorch(network), no_fault)
    runtime.home = "CUDAExecutionProvider"
    answered = one_case(network)
    row = validation_row("m", runtime, answered, FLOAT32)
    assert (row.status, row.reason) == ("fail", "recurrent_0 ran on here")


def unscaled_network(cell: Cell, hidden_size: int, gain: float = 1.0) -> Network:
    """A random network; a ``gain`` of 3 or more on the recurrent weights makes it chaotic."""
    torch.manual_seed(0)
    scaler = Scaler(input_mean=(0,), input_std=(1,), output_mean=(0,), output_std=(1,))
    network = Network(SeriesModel(cell=cell, hidden_size=hidden_size), scaler=scaler).eval()
    with torch.no_grad():
        network.recurrent.layers.get_parameter("weight_hh_l0").mul_(gain)
    return network


def answer_to(network: Network, source: Input, **options: Any) -> Answer:
    reference = network_reference(network, source[0])
    case = case_of(reference, "a case", {INPUT: source}, reference.initial(len(source)), **options)
    return answer(reference.contract, case, reference.model, reference.twin)


def random_case(network: Network, batch: int, time: int) -> Answer:
    source = np.random.default_rng(0).normal(size=(batch, time, 1)).astype(np.float32)
    return answer_to(network, source, cuts=(1,) * time)


def one_case(network: Network) -> Answered:
    given = random_case(network, 1, 2)
    return Answered(network_reference(network, given.case.calls[0][INPUT][0]), [given])


def test_the_tolerance_is_absolute_plus_relative() -> None:
    network = unscaled_network("gru", 4)
    given = random_case(network, 1, 5)
    allowed = FLOAT32.atol + FLOAT32.rtol * abs(float(given.exact[0][OUTPUT][0, 0, 0]))

    def off_by(error: float) -> CaseRecord:
        def off(honest: PyTorch, input: Input, state: State) -> Result:
            output, next_state = honest.run(input, state)
            output[0, 0, 0] += np.float32(0 if state.any() else error)  # in the first step
            return output, next_state

        return compare(Faulty(PyTorch(network), off), given, FLOAT32)

    assert off_by(0.9 * allowed).passed
    wrong = off_by(1.2 * allowed)
    assert not wrong.passed
    assert (wrong.worst.tensor, wrong.worst.index) == ("output", (0, 0, 0))
    assert wrong.output_error == pytest.approx(1.2 * allowed, rel=0.05)


def test_an_honest_runtime_passes_however_much_the_network_amplifies_rounding() -> None:
    amplified = 0
    for time in range(5, 120, 5):
        network = unscaled_network("rnn", 64, gain=3)
        given = random_case(network, 1, time)
        found = compare(Faulty(PyTorch(network), no_fault), given, FLOAT32)
        assert found.passed
        amplified += not given.ill_conditioned and max(given.own.values()) > 5e-5
    assert amplified  # beyond the tolerance, and within four times PyTorch's own error


def test_an_ill_conditioned_case_is_compared_step_by_step() -> None:
    network = unscaled_network("rnn", 64, gain=4)
    given = random_case(network, 2, 300)
    assert given.ill_conditioned
    assert given.exact[0][OUTPUT].shape == (600, 1, 1)
    honest = compare(Faulty(PyTorch(network), no_fault), given, FLOAT32)
    assert (honest.ill_conditioned, honest.passed) == (True, True)
    ignored = compare(Faulty(PyTorch(network), FAULTS["state ignored"]), given, FLOAT32)
    assert not ignored.passed


def test_replay_carries_the_state_and_undoes_the_permutation(tiny_bundle: Bundles) -> None:
    network = network_of(tiny_bundle("char-lstm"))
    runtime = PyTorch(network)
    source = np.array([[97, 98, 99, 100], [101, 102, 103, 104], [32, 33, 34, 35]])
    state = np.random.default_rng(0).normal(size=(3, 4, 6)).astype(np.float32)
    output, next_state = runtime.run(source, state)
    reference = network_reference(network, source[0])
    given, start = {INPUT: source}, {STATE: state}
    case = case_of(reference, "both", given, start, (1, 3), order=(2, 0, 1))
    (found,) = replay(runtime, network.tensors.contract, case)
    np.testing.assert_allclose(found[OUTPUT], output, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[NEXT_STATE], next_state, rtol=1e-5, atol=1e-6)


def test_an_onnx_file_that_is_wrong_fails(tiny_bundle: Bundles) -> None:
    bundle = tiny_bundle("char-gru")
    model = onnx.load_from_string(bundle.read("onnx/model.onnx"))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "linear_before_reset":
                attribute.i = 0
    network = network_of(bundle)
    exact = answer_to(network, bundle.task_data()[None, :50])
    answered = Answered(network_reference(network, bundle.task_data()), [exact])
    wrong = OnnxRuntime(model.SerializeToString(), "cpu")
    assert validation_row("m", wrong, answered, FLOAT32).status == "fail"
