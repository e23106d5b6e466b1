"""Small networks run on one thread, in every library that has a pool of them."""

import os
from collections.abc import Callable

import onnxruntime
import pytest
import torch
from torch import nn

from pipeline import threads
from pipeline.bundle import Bundle
from pipeline.export.session import cpu_session
from pipeline.run.bundle import load
from pipeline.runtimes.isolated import Worker
from pipeline.runtimes.onnx_runtime import OnnxRuntime, one_thread_session
from pipeline.runtimes.openvino import OpenVino
from pipeline.runtimes.pytorch import PyTorch
from pipeline.threads import (
    LARGE,
    session_options,
    threads_of,
    torch_threads,
    use_threads,
    wait_asleep,
    weights_in,
    weights_of,
)

Bundles = Callable[[str], Bundle]
SPINNING = "session.intra_op.allow_spinning"


@pytest.fixture
def four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_processors", lambda: 4)


@pytest.mark.usefixtures("four_processors")
def test_a_small_network_gets_one_thread_and_a_large_one_all_processors() -> None:
    assert [threads_of(weights) for weights in (0, LARGE - 1, LARGE)] == [1, 1, 4]
    assert weights_of(nn.Linear(30, 20)) == 620
    assert weights_in(bytes(4 * LARGE)) == LARGE


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no process")
def test_processors_that_this_process_may_not_use_do_not_count() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads_of(LARGE) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("four_processors")
def test_pytorch_keeps_to_it_for_a_while_and_then_is_as_before() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with torch_threads(10):
            assert torch.get_num_threads() == 1
        with torch_threads(LARGE):
            assert torch.get_num_threads() == 3  # what a user has asked for, and no more
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), torch_threads(10):
            _ = 1 / 0
        assert torch.get_num_threads() == 3
        use_threads(LARGE)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("four_processors")
def test_threads_of_onnx_runtime_do_not_spin_however_many_they_are() -> None:
    for weights, count in ((0, 1), (LARGE, 4)):
        options = session_options(weights)
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (count, 1)
        assert options.get_session_config_entry(SPINNING) == "0"


@pytest.mark.parametrize("graph", ["model", "forecast"])
def test_every_session_of_a_small_network_has_one_thread(tiny_bundle: Bundles, graph: str) -> None:
    bundle = tiny_bundle("sine-lstm")
    file = bundle.read(f"onnx/{graph}.onnx")
    sessions: list[onnxruntime.InferenceSession] = [
        cpu_session(file),
        one_thread_session(file),
        OnnxRuntime(file, "cpu").session,
        load(bundle.folder).graph.session,
        load(bundle.folder).loop_graph.session,
    ]
    for session in sessions:
        options = session.get_session_options()
        assert options.intra_op_num_threads == 1
        assert options.get_session_config_entry(SPINNING) == "0"


def test_openvino_has_one_thread_and_is_tied_to_no_processor(tiny_bundle: Bundles) -> None:
    compiled = OpenVino(tiny_bundle("char-gru").read("onnx/model.onnx"), "f32").compiled
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("NUM_STREAMS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


class Tells(PyTorch):
    """A runtime that says how its process may use threads."""

    def __init__(self) -> None:
        self.precision = "float32"
        asleep = os.environ["OMP_WAIT_POLICY"], os.environ["OPENBLAS_NUM_THREADS"]
        self.note = f"{torch.get_num_threads()} {' '.join(asleep)}"


def test_the_process_of_a_runtime_uses_as_many_as_its_model_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    every = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with Worker() as worker:
        for weights, count in ((LARGE, every), (1000, 1), (LARGE, every)):
            assert worker.open(Tells, weights).note == f"{count} PASSIVE 1"


def test_what_a_user_has_set_stays() -> None:
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}
    wait_asleep(environment)
    assert environment == {"OMP_WAIT_POLICY": "ACTIVE"}
