"""Providers that are not there are refused, and a fall-back to the CPU is seen."""

from collections.abc import Callable

import onnxruntime
import pytest
import torch
from tiny import validation_of

from pipeline.bundle import Bundle
from pipeline.errors import UnavailableError, UsageError
from pipeline.runtimes.base import Absent
from pipeline.runtimes.catalog import Runtimes, require
from pipeline.runtimes.onnx_runtime import OnnxRuntime

Bundles = Callable[[str], Bundle]


def test_a_provider_that_does_not_exist_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'cuda'"):
        require(("cudo",))


def test_cuda_that_is_not_there_is_refused_by_name_and_listed_otherwise(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match="make EXTRA=gpu") as caught:
        require(("cuda",))
    assert caught.value.exit_code == 7
    absent = list(Runtimes(providers=("cuda",)).open(tiny_bundle("sine-rnn")))
    assert all(isinstance(runtime, Absent) and runtime.reason for runtime in absent)
    assert [runtime.format for runtime in absent] == ["TorchScript", "ONNX"]
    validation = validation_of(tiny_bundle("sine-rnn"), providers=("cuda",))
    assert not validation.passed  # nothing ran, so nothing is proven


def test_a_build_with_cuda_but_no_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match="nvidia-smi"):
        require(("cuda",))


def test_a_session_that_silently_falls_back_to_the_cpu_is_refused(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fallen:
        def __init__(self, *args: object) -> None:
            pass

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Fallen)
    with pytest.raises(UnavailableError, match="cannot start it"):
        OnnxRuntime(tiny_bundle("sine-rnn").read("onnx/model.onnx"), "cuda")
