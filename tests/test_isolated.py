"""A runtime in a process of its own: what becomes of crashes, hangs and errors."""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from pipeline.bundle import Bundle, network_of
from pipeline.bundle.network import network_reference
from pipeline.contract.law import FLOAT32, Array
from pipeline.network_tensors import STATE
from pipeline.runtimes import catalog
from pipeline.runtimes.base import Runtime, RuntimeProcessError
from pipeline.runtimes.catalog import Runtimes
from pipeline.runtimes.isolated import Isolated, Worker
from pipeline.runtimes.pytorch import PyTorch
from pipeline.validate.network import answered_by
from pipeline.validate.run import validation_row

Bundles = Callable[[str], Bundle]


class Crashes(PyTorch):
    """A runtime whose process ends in the middle of a call."""

    def __init__(self) -> None:
        self.precision = "float32"

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        print("segment 7 is gone", file=sys.stderr, flush=True)
        os.abort()


class Hangs(Crashes):
    """A runtime that never answers."""

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        time.sleep(1000)
        raise AssertionError


class Prints(Crashes):
    """A runtime that writes where answers are written."""

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        print("loading weights, please wait")
        os.write(1, b"100 % \xff\n")
        return [inputs[STATE]] * 2


class Slow(Crashes):
    """A runtime that takes its time, and is done."""

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        time.sleep(0.3)
        return [inputs[STATE]] * 2


class Throws(Crashes):
    """A runtime with an error of a class that only it knows."""

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        raise type("DeviceLost", (Exception,), {})("the device\nis gone")


ZERO = np.zeros((1, 1, 1), np.float32)


def test_a_runtime_that_crashes_says_how_and_the_worker_opens_the_next() -> None:
    with Worker() as worker:
        with pytest.raises(RuntimeProcessError, match=r"^crashed with SIGABRT: segment 7 is gone"):
            worker.open(Crashes).run(ZERO, ZERO)
        output, _ = worker.open(Prints).run(ZERO, ZERO)
        assert output == ZERO


def test_a_runtime_that_hangs_is_ended_when_its_time_is_up() -> None:
    with Worker(time_limit=20) as worker:
        runtime = worker.open(Hangs)
        worker.time_limit = 0.2
        process = worker._process
        assert process is not None
        with pytest.raises(RuntimeProcessError, match=r"^hangs: no answer within 0.2 s"):
            runtime.run(ZERO, ZERO)
        assert process.poll() is not None


def steps(runtime: Runtime, count: int) -> int:
    for _ in range(count):
        runtime.run(ZERO, ZERO)
    return count


def test_many_calls_are_made_in_the_process_and_take_longer_in_all_than_one_may() -> None:
    with Worker(time_limit=20) as worker:
        runtime = worker.open(Slow)
        worker.time_limit = 1.5
        assert runtime.do(steps, 6) == 6
        worker.time_limit = 0.2
        with pytest.raises(RuntimeProcessError, match=r"^hangs: no answer within 0.2 s"):
            runtime.do(steps, 6)


def test_an_error_of_a_runtime_comes_back_on_one_line() -> None:
    with (
        Worker() as worker,
        pytest.raises(RuntimeProcessError, match=r"^DeviceLost: the device is"),
    ):
        worker.open(Throws).run(ZERO, ZERO)


@pytest.mark.parametrize(
    ("runtime", "reason"),
    [(Crashes, "crashed with SIGABRT: segment 7"), (Throws, "DeviceLost: the device is gone")],
)
def test_a_runtime_that_fails_is_a_row_that_says_so_and_the_others_still_run(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch, runtime: type[Runtime], reason: str
) -> None:
    honest = catalog.RUNTIMES["onnxruntime"]
    broken = dataclasses.replace(honest, openers=lambda file, provider: [runtime])
    monkeypatch.setitem(catalog.RUNTIMES, "onnxruntime", broken)
    with Runtimes(("onnxruntime", "reference"), ("cpu",)) as runtimes:
        found = []
        bundle = tiny_bundle("sine-rnn")
        exact = answered_by(network_reference(network_of(bundle), bundle.task_data()))
        found = [validation_row("m", item, exact, FLOAT32) for item in runtimes.open(bundle)]
    assert [row.status for row in found] == ["fail", "pass"]
    assert found[0].reason.startswith(reason)


def test_modules_in_the_working_folder_are_not_taken_for_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Bundles
) -> None:
    monkeypatch.chdir(tmp_path)
    trap = "import pathlib; pathlib.Path('canary').touch()\n"
    for name in ("onnxruntime", "numpy", "pickle", "sitecustomize"):
        Path(f"{name}.py").write_text(trap)
    with Runtimes(("onnxruntime",), ("cpu",)) as runtimes:
        (runtime,) = runtimes.open(tiny_bundle("sine-rnn"))
        assert isinstance(runtime, Isolated)
    assert not Path("canary").exists()
