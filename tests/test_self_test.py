"""The validator catches what is planted, and does not cry wolf."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bundle import Bundle, network_of
from pipeline.bundle.network import graph_constants, network_reference, program_tensors
from pipeline.bundle.trial import random_network
from pipeline.config import CELLS, Cell
from pipeline.contract.law import FLOAT32
from pipeline.contract.tensors import Tensors
from pipeline.export import export
from pipeline.export.network.torchscript import to_torchscript
from pipeline.model import Network
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.validate.answered import Answered, answered
from pipeline.validate.audit import audit_onnx, audit_torchscript
from pipeline.validate.faults import FAULTS, Fault, plant
from pipeline.validate.module_audit import faults_of_graph
from pipeline.validate.network import answered_by
from pipeline.validate.run import validation_row
from pipeline.validate.self_test import honest_models
from pipeline.validate.trial_modules import trial_modules

# Faults that only the audit can see: the numbers stay within the tolerance.
INVISIBLE = {"one bit of a weight flipped", "weights rounded to float16"}
KINDS = [(task, cell) for task in ("series", "text") for cell in CELLS]

Honest = tuple[bytes, Network, Answered]


def smaller(exact: Answered, size: int) -> Answered:
    """Only the cases whose input has fewer steps than ``size``."""
    few = [answer for answer in exact.answers if answer.case.batch * answer.case.time < size]
    return replace(exact, answers=few)


@pytest.fixture(scope="module")
def honest() -> Callable[[str, Cell], Honest]:
    """A freshly exported model with PyTorch's answers to the smaller cases."""
    made: dict[tuple[str, str], Honest] = {}

    def make(task: str, cell: Cell) -> Honest:
        if (task, cell) not in made:
            network = random_network(task, cell, hidden_size=16, num_layers=2, seed=7)
            points = [ord(character) for character in network.vocabulary or "a"]
            source = np.resize(np.array(points), 300)
            if task == "series":
                source = np.sin(np.arange(300) / 5, dtype=np.float32)[:, None] + np.float32(3)
            exact = smaller(answered_by(network_reference(network, source)), 999)
            made[task, cell] = export(network, "honest")[0], network, exact
        return made[task, cell]

    return make


@pytest.mark.parametrize(("task", "cell"), KINDS)
def test_an_honest_model_passes_with_its_audit(
    honest: Callable[[str, Cell], Honest], task: str, cell: Cell
) -> None:
    file, network, answered = honest(task, cell)
    audit = audit_onnx(file, graph_constants(network))
    assert audit == []
    assert audit_torchscript(to_torchscript(network), program_tensors(network)) == []
    row = validation_row("honest", OnnxRuntime(file, "cpu"), answered, FLOAT32, audit)
    assert row.status == "pass", row.reason


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize(("task", "cell"), KINDS)
def test_every_planted_fault_is_caught(
    honest: Callable[[str, Cell], Honest], task: str, cell: Cell, fault: Fault
) -> None:
    file, network, answered = honest(task, cell)
    faulty = plant(fault, file, network.tensors.contract)
    if faulty is None:
        return  # that each fault applies somewhere is the next test
    assert faulty != file
    runtime = OnnxRuntime(faulty, "cpu")
    by_numbers = validation_row("faulty", runtime, answered, FLOAT32).status == "fail"
    assert by_numbers or fault.name in INVISIBLE or "bfloat16" in fault.name
    assert by_numbers or audit_onnx(faulty, graph_constants(network))


def planted(fault: Fault, file: bytes, network: Network) -> bytes | None:
    return plant(fault, file, network.tensors.contract)


@pytest.fixture(scope="module")
def modules() -> dict[str, tuple[bytes, Tensors, Answered]]:
    """Modules of every cell, with their weights and the answers to the smaller cases."""
    return {
        name: (file, weights, smaller(answered(reference), 999))
        for name, file, weights, reference in trial_modules()
    }


@pytest.mark.parametrize("cell", CELLS)
def test_every_fault_planted_into_a_module_is_caught(
    modules: dict[str, tuple[bytes, Tensors, Answered]], cell: Cell
) -> None:
    file, weights, exact = modules[f"module-{cell}"]
    assert faults_of_graph(file, weights) == ()
    honest = validation_row("honest", OnnxRuntime(file, "cpu"), exact, FLOAT32)
    assert honest.status == "pass", honest.reason
    applied = 0
    for fault in FAULTS:
        faulty = plant(fault, file, exact.reference.contract)
        if faulty is None:
            continue
        applied += 1
        row = validation_row("faulty", OnnxRuntime(faulty, "cpu"), exact, FLOAT32)
        assert row.status == "fail" or faults_of_graph(faulty, weights), fault.name
        assert row.status == "fail" or fault.name in INVISIBLE or "bfloat16" in fault.name
    assert applied >= 14


def test_there_are_25_kinds_and_each_applies_somewhere(
    honest: Callable[[str, Cell], Honest],
) -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 25
    for fault in FAULTS:
        assert any(planted(fault, *honest(task, cell)[:2]) for task, cell in KINDS), fault.name


def test_the_audit_names_what_is_wrong(honest: Callable[[str, Cell], Honest]) -> None:
    file, network, _ = honest("text", "lstm")
    model = onnx.load_from_string(file)
    weight = next(item for item in model.graph.initializer if item.name == "recurrent.R_1")
    array = onnx.numpy_helper.to_array(weight).copy()
    array.view(np.uint32)[0, 5, 3] ^= 1
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    assert audit_onnx(model.SerializeToString(), graph_constants(network)) == [
        "R_1 is not in the graph bit for bit",
        "constant 'recurrent.R_1' is not in the network",
    ]


def test_a_constant_that_is_no_tensor_is_none_of_the_networks(
    honest: Callable[[str, Cell], Honest],
) -> None:
    file, network, _ = honest("series", "gru")
    model = onnx.load_from_string(file)
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["half"], value_float=0.5))
    assert audit_onnx(model.SerializeToString(), graph_constants(network)) == [
        "constant 'half' is not in the network"
    ]


def test_files_that_are_no_models_fail_their_audit(
    honest: Callable[[str, Cell], Honest],
) -> None:
    _, network, _ = honest("series", "gru")
    (said,) = audit_onnx(b"hello", graph_constants(network))
    assert said.startswith("the file is no ONNX model (")
    (said,) = audit_torchscript(b"hello", program_tensors(network))
    assert said.startswith("the file is no TorchScript (")


def test_the_audit_reads_torchscript_too(honest: Callable[[str, Cell], Honest]) -> None:
    _, network, _ = honest("series", "gru")
    file = to_torchscript(network)
    with torch.no_grad():
        network.head.bias.view(torch.int32)[0] ^= 1
    try:
        faults = audit_torchscript(file, program_tensors(network))
        assert faults == ["head.bias is not in the file bit for bit"]
    finally:
        with torch.no_grad():
            network.head.bias.view(torch.int32)[0] ^= 1


@given(
    task=st.sampled_from(["series", "text"]),
    cell=st.sampled_from(CELLS),
    num_layers=st.integers(1, 3),
    hidden_size=st.integers(1, 96),
    gain=st.floats(0.1, 4),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=12, deadline=None)
def test_no_honest_architecture_raises_an_alarm(
    task: str, cell: Cell, num_layers: int, hidden_size: int, gain: float, seed: int
) -> None:
    network = random_network(task, cell, hidden_size, num_layers, seed, gain)
    rng = np.random.default_rng(seed)
    source = rng.normal(3, 2, (400, 1)).astype(np.float32)
    if network.vocabulary is not None:
        source = rng.choice([ord(character) for character in network.vocabulary], 400)
    file, _ = export(network, "honest")
    exact = smaller(answered_by(network_reference(network, source)), 4000)
    audit = audit_onnx(file, graph_constants(network))
    row = validation_row("honest", OnnxRuntime(file, "cpu"), exact, FLOAT32, audit)
    assert row.status == "pass", row.reason


def test_honest_models_are_of_every_kind() -> None:
    outcomes = list(honest_models(2))
    assert [outcome.status for outcome in outcomes] == ["passed", "passed"]
    assert outcomes[0].model.startswith("series-rnn")
    assert outcomes[1].model.startswith("text-rnn")


def test_a_bundle_with_a_flipped_bit_and_mended_digests_fails(
    tiny_bundle: Callable[[str], Bundle],
) -> None:
    network = network_of(tiny_bundle("char-gru"))
    flip = next(fault for fault in FAULTS if "bit" in fault.name)
    faulty = planted(flip, tiny_bundle("char-gru").read("onnx/model.onnx"), network)
    assert faulty
    assert audit_onnx(faulty, graph_constants(network))
