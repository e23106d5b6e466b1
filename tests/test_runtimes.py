"""Every runtime besides PyTorch's own: it carries the state, at any size, or says why it cannot."""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tiny import is_held_back, validation_of

from pipeline.bundle import Bundle, network_of
from pipeline.bundle.network import network_reference
from pipeline.config import PRESETS
from pipeline.contract.law import FLOAT32, LESS_THAN_FLOAT32, Array
from pipeline.errors import UnavailableError, UsageError
from pipeline.model import Network
from pipeline.network_tensors import STATE
from pipeline.packages import how_to_install
from pipeline.runtimes import catalog
from pipeline.runtimes.base import (
    Absent,
    Refused,
    Runtime,
)
from pipeline.runtimes.catalog import ALL, Runtimes, require
from pipeline.runtimes.onnx_runtime import OnnxRuntime, execution_providers
from pipeline.runtimes.openvino import HINT, OpenVino, load_openvino
from pipeline.runtimes.pytorch import PyTorch
from pipeline.validate import Row, current_validation, marked
from pipeline.validate.answered import Answered
from pipeline.validate.network import answered_by
from pipeline.validate.run import validation_row

Bundles = Callable[[str], Bundle]
OPTIONAL = ("openvino", "tract", "wasmtime")
CONVERTED = ("executorch", "litert")  # which run files that are converted first
HEAVY = "executorch"  # which comes with its converter alone
ALL_BUT_TORCH = ("onnxruntime", "reference", *OPTIONAL)


@pytest.fixture(scope="module")
def opened() -> Iterator[Callable[[Bundle, str], Iterator[Runtime]]]:
    """All that a runtime of some name opens on the CPU, which must not be absent."""
    kept: dict[str, Runtimes] = {}

    def open_all(bundle: Bundle, name: str) -> Iterator[Runtime]:
        runtimes = kept.setdefault(name, Runtimes((name,), ("cpu",)))
        for runtime in runtimes.open(bundle):
            if isinstance(runtime, Absent):
                assert is_held_back(runtime), runtime
            else:
                yield runtime

    yield open_all
    for runtimes in kept.values():
        runtimes.close()


Opened = Callable[[Bundle, str], Iterator[Runtime]]


def rows_of(bundle: Bundle, name: str) -> list[Row]:
    return [row for row in validation_of(bundle, (name,)).rows if row.format != "PyTorch"]


@pytest.mark.parametrize("name", ["reference", *OPTIONAL])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_runtime_passes_every_case(tiny_bundle: Bundles, preset: str, name: str) -> None:
    rows = rows_of(tiny_bundle(preset), name)
    assert rows
    for row in rows:
        assert (row.status, row.reason) == ("pass", "")
        assert len(row.cases) == 41
        assert row.tolerance is not None
        assert row.free_run is not None


@pytest.mark.parametrize("name", ALL_BUT_TORCH)
@pytest.mark.parametrize("preset", ["sine-gru", "char-lstm"])
def test_one_opened_model_takes_any_size_and_carries_the_state(
    tiny_bundle: Bundles, opened: Opened, preset: str, name: str
) -> None:
    bundle = tiny_bundle(preset)
    network = network_of(bundle)
    honest = PyTorch(network)
    for runtime in opened(bundle, name):
        tolerance = bundle.manifest.tolerance[runtime.precision]
        for batch, length in ((2, 5), (1, 1), (7, 3), (1, 40)):
            input = np.resize(bundle.task_data(), (batch, length, *bundle.task_data().shape[1:]))
            state = honest.run(input, network.zero_state(batch).numpy())[1]
            for found, expected in zip(
                runtime.run(input, state), honest.run(input, state), strict=True
            ):
                assert found.dtype == np.float32
                np.testing.assert_allclose(found, expected, **tolerance.model_dump())


@pytest.mark.parametrize("name", ALL_BUT_TORCH)
def test_results_are_not_overwritten_by_the_next_call(
    tiny_bundle: Bundles, opened: Opened, name: str
) -> None:
    bundle = tiny_bundle("sine-lstm")
    input = bundle.task_data()[None, :4]
    state = network_of(bundle).zero_state(1).numpy()
    for runtime in opened(bundle, name):
        first = runtime.run(input, state)
        kept = [part.copy() for part in first]
        runtime.run(input + 1, first[1])
        for before, after in zip(kept, first, strict=True):
            np.testing.assert_array_equal(before, after)


def test_openvino_has_a_row_as_it_comes_and_one_in_float32(tiny_bundle: Bundles) -> None:
    bundle = tiny_bundle("char-gru")
    *as_it_comes, exact = rows_of(bundle, "openvino")
    assert exact.runtime.endswith(", f32")
    assert (exact.tolerance, exact.precision, exact.note) == (FLOAT32, "float32", "")
    if "ONEDNN_MAX_CPU_ISA" in os.environ and not as_it_comes:
        return  # it chose a precision that was kept from it
    (default,) = as_it_comes
    assert default.runtime.endswith(", default")
    if default.precision == "float32":  # a processor without bfloat16
        assert (default.tolerance, default.note) == (FLOAT32, "")
    else:
        assert default.tolerance == LESS_THAN_FLOAT32[default.precision]
        assert f"{HINT}=f32" in default.note


@pytest.mark.parametrize(("found", "precision"), [("bf16", "bfloat16"), ("f16", "float16")])
def test_a_model_that_openvino_computes_in_less_says_so(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch, found: str, precision: str
) -> None:
    openvino = load_openvino()
    kind = getattr(openvino.Type, found)
    monkeypatch.setattr(openvino.CompiledModel, "get_property", lambda *_: kind)
    runtime = OpenVino(tiny_bundle("sine-rnn").read("onnx/model.onnx"), "f32")
    assert runtime.precision == precision
    assert f"computes in {precision}" in runtime.note


class Lesser(PyTorch):
    """PyTorch in bfloat16, as if it were another runtime."""

    format, name, home = "ONNX", "lesser", "cpu"


@pytest.fixture(scope="module", params=["sine-rnn", "sine-gru", "char-lstm"])
def exact(tiny_bundle: Bundles, request: pytest.FixtureRequest) -> Answered:
    bundle = tiny_bundle(request.param)
    return answered_by(network_reference(network_of(bundle), bundle.task_data()))


def network_in(exact: Answered) -> Network:
    """The network that gave the answers."""
    assert isinstance(exact.reference.model, PyTorch)
    network = exact.reference.model.module
    assert isinstance(network, Network)
    return network


def test_a_runtime_in_bfloat16_is_judged_by_that_and_by_pytorch_in_bfloat16(
    exact: Answered,
) -> None:
    row = validation_row("m", Lesser(network_in(exact), "bfloat16"), exact, FLOAT32)
    assert (row.status, row.reason, row.precision) == ("pass", "", "bfloat16")
    assert row.tolerance == LESS_THAN_FLOAT32["bfloat16"]
    assert (row.output_error or 0) > 1e-4  # float32 would have been closer
    liar = Lesser(network_in(exact), "bfloat16")
    liar.precision = "float32"
    assert validation_row("m", liar, exact, FLOAT32).status == "fail"


def test_a_fault_is_caught_in_bfloat16_too(exact: Answered) -> None:
    class Forgets(Lesser):
        def call(self, inputs: Mapping[str, Array]) -> list[Array]:
            return super().call({**inputs, STATE: np.zeros_like(inputs[STATE])})

    row = validation_row("m", Forgets(network_in(exact), "bfloat16"), exact, FLOAT32)
    assert row.status == "fail"


class Tf32(PyTorch):
    """PyTorch with its weights rounded to the nearest TF32, as if it were another runtime."""

    format, name, home = "ONNX", "tf32", "cpu"

    def __init__(self, network: Network) -> None:
        rounded = network.twin(torch.float32)
        with torch.no_grad():
            for weight in rounded.parameters():  # of the 23 bits of the mantissa 10 are kept
                weight.copy_(((weight.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32))
        super().__init__(rounded)
        self.precision = "tf32"


def test_logits_too_large_for_the_tolerance_of_tf32_are_judged_by_pytorch_rounded_to_it(
    tiny_bundle: Bundles,
) -> None:
    bundle = tiny_bundle("char-lstm")
    network = network_of(bundle)
    with torch.no_grad():
        network.head.weight.mul_(300)  # as a network that is sure of itself
    exact = answered_by(network_reference(network, bundle.task_data()))
    row = validation_row("m", Tf32(network), exact, FLOAT32)
    assert (row.status, row.reason, row.precision) == ("pass", "", "tf32")
    case = max(row.cases, key=lambda case: case.output_error or 0)
    tolerance = LESS_THAN_FLOAT32["tf32"]
    assert (case.output_error or 0) > tolerance.atol + tolerance.rtol * abs(case.worst.expected)
    liar = Tf32(network)
    liar.precision = "float32"
    assert validation_row("m", liar, exact, FLOAT32).status == "fail"

    class Forgets(Tf32):
        def call(self, inputs: Mapping[str, Array]) -> list[Array]:
            return super().call({**inputs, STATE: np.zeros_like(inputs[STATE])})

    assert validation_row("m", Forgets(network), exact, FLOAT32).status == "fail"


def test_openvino_reports_to_nobody_and_leaves_nothing_in_the_home_folder(
    tmp_path: Path, tiny_bundle: Bundles
) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.runtimes.openvino import OpenVino; "
        "OpenVino(Path(sys.argv[1]).read_bytes(), 'f32'); "
        "sys.exit(any(name.startswith('openvino_telemetry.') for name in sys.modules))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    model = tiny_bundle("sine-rnn").folder / "onnx" / "model.onnx"
    subprocess.run(
        [sys.executable, "-c", code, str(model)],
        env=environment | {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)},
        cwd=Path(__file__).parents[1],
        check=True,
    )
    assert not (tmp_path / "intel").exists()
    assert not (tmp_path / "Intel").exists()


@pytest.fixture(params=OPTIONAL)
def missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an optional runtime that is not installed during the test."""
    name: str = request.param
    monkeypatch.setitem(sys.modules, name, None)
    return name


def test_a_runtime_that_is_not_installed_is_named_with_its_extra(
    tiny_bundle: Bundles, missing: str
) -> None:
    runtimes = Runtimes((missing,), ("cpu",))
    (absent,) = runtimes.open(tiny_bundle("sine-rnn"))
    assert isinstance(absent, Absent)
    assert (absent.name, absent.provider) == (missing, "cpu")
    how = how_to_install(catalog.RUNTIMES[missing].requirement)
    assert how in absent.reason
    with pytest.raises(UnavailableError, match=re.escape(how)):
        require((), (missing,))


def test_a_runtime_that_does_not_exist_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'openvino'"):
        require((), ("openvin",))


def test_a_runtime_without_the_provider_asked_for_is_refused() -> None:
    with pytest.raises(UsageError, match="'tract' runs on cpu and nowhere else"):
        require(("cuda",), ("tract",))


def test_further_providers_of_the_build_are_known_by_their_short_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offered = ["CoreMLExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    assert list(execution_providers()) == ["cpu", "cuda", "coreml"]
    require(("coreml",))
    with pytest.raises(UsageError, match="did you mean 'coreml'"):
        require(("core",))


@pytest.mark.parametrize("name", ["torchscript", *ALL_BUT_TORCH])
def test_a_model_that_cannot_be_opened_is_a_row_and_the_others_still_run(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bundle = tiny_bundle("sine-rnn")
    kind, read = catalog.RUNTIMES[name], Bundle.read
    monkeypatch.setattr(
        Bundle, "read", lambda self, file: b"no model" if file == kind.file else read(self, file)
    )
    if kind.built is not None:
        broken = replace(kind, built=lambda bundle: b"no model")
        monkeypatch.setitem(catalog.RUNTIMES, name, broken)
    with Runtimes((name,), ("cpu",)) as runtimes:
        refused, *_ = runtimes.open(bundle)
    assert isinstance(refused, Refused)
    assert refused.reason
    assert "\n" not in refused.reason


def test_a_provider_that_takes_no_recurrent_node_has_not_run(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = {"cpu": "CPUExecutionProvider", "npu": "NpuExecutionProvider"}

    def openers(file: bytes, provider: str) -> list[Callable[[], Runtime]]:
        return [partial(Fallen, file)]

    kind = dataclasses.replace(
        catalog.RUNTIMES["onnxruntime"],
        openers=openers,
        providers=lambda: offered,
        why_absent=lambda provider: None,
    )
    monkeypatch.setitem(catalog.RUNTIMES, "onnxruntime", kind)
    with Runtimes(("onnxruntime",), ("npu",)) as runtimes:
        (absent,) = runtimes.open(tiny_bundle("sine-gru"))
    assert isinstance(absent, Absent)
    assert "NpuExecutionProvider runs no recurrent nodes: recurrent_0" in absent.reason


class Fallen(OnnxRuntime):
    """A session that was to run on a provider, and runs on the CPU."""

    def __init__(self, file: bytes) -> None:
        super().__init__(file, "cpu")
        self.home = "NpuExecutionProvider"


def test_a_validation_is_current_while_runtimes_versions_and_machine_are_the_same(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    validation = marked(validation_of(tiny_bundle("sine-rnn"), ("tract",)))
    bundle = replace(tiny_bundle("sine-rnn"), folder=tmp_path)
    bundle.add_validation(validation)
    asked = Runtimes(("tract",), ("cpu",))
    assert current_validation(bundle, asked) == validation
    assert current_validation(bundle, Runtimes(("tract", "reference"), ("cpu",))) is None
    assert current_validation(bundle, Runtimes()) is None
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "package_version", lambda package: "99")
        assert current_validation(bundle, asked) is None
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.validate.current.machine", lambda: "another processor")
        assert current_validation(bundle, asked) is None
    monkeypatch.setitem(sys.modules, "tract", None)
    assert current_validation(bundle, asked) is None


def test_the_optional_runtimes_are_those_with_an_extra() -> None:
    optional = [name for name in ALL if catalog.RUNTIMES[name].optional]
    assert tuple(optional) == (*CONVERTED, *OPTIONAL)
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    for name in optional:
        assert f'\n{name} = ["{catalog.RUNTIMES[name].requirement}"]' in project
    light = ",".join(name for name in optional if name != HEAVY)
    assert f'\nruntimes = ["recurrent-pipeline[{light}]"]' in project
