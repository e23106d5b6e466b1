"""Every runtime besides PyTorch's own: it carries the state, at any size, or says why it cannot."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.bundle import Bundle
from pipeline.bundle.write import file_entry
from pipeline.config import PRESETS
from pipeline.errors import UnavailableError, UsageError
from pipeline.runtimes import ALL, Absent, Refused, Runtime, catalog, open_runtimes, require
from pipeline.runtimes.openvino import HINT, OpenVino, load_openvino
from pipeline.runtimes.pytorch import PyTorch
from pipeline.signature import BFLOAT16, FLOAT16
from pipeline.validate import current_validation, validate_bundle
from pipeline.validate.records import Row
from pipeline.validate.run import validation_row

Bundles = Callable[[str], Bundle]
OPTIONAL = ("openvino", "tract")
ONNX_RUNTIMES = ("onnxruntime", "reference", *OPTIONAL)


def opened(bundle: Bundle, name: str) -> list[Runtime]:
    """All that ``name`` opens on the CPU, which must not be absent."""
    found = list(open_runtimes(bundle, ("cpu",), (name,)))
    assert found
    runtimes = [runtime for runtime in found if not isinstance(runtime, Absent)]
    assert len(runtimes) == len(found), found
    return runtimes


def rows_of(bundle: Bundle, name: str) -> list[Row]:
    validation = validate_bundle(bundle, ("cpu",), runtimes=(name,))
    return [row for row in validation.rows if row.status != "not run"]


@pytest.mark.parametrize("name", ["reference", *OPTIONAL])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_runtime_passes_every_case(tiny_bundle: Bundles, preset: str, name: str) -> None:
    rows = rows_of(tiny_bundle(preset), name)
    assert len(rows) == (2 if name == "openvino" else 1)
    for row in rows:
        assert (row.status, row.reason) == ("pass", "")
        assert len(row.cases) == 40
        assert row.tolerance is not None


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
@pytest.mark.parametrize("preset", ["sine-gru", "char-lstm"])
def test_one_opened_model_takes_any_size_and_carries_the_state(
    tiny_bundle: Bundles, preset: str, name: str
) -> None:
    bundle = tiny_bundle(preset)
    honest = PyTorch(bundle.network())
    for runtime in opened(bundle, name):
        tolerance = runtime.tolerance or bundle.manifest.tolerance
        for batch, time in ((2, 5), (1, 1), (7, 3), (1, 40)):
            input = np.resize(bundle.held_out(), (batch, time, *bundle.held_out().shape[1:]))
            state = honest.run(input, honest.network.zero_state(batch).numpy())[1]
            for found, expected in zip(
                runtime.run(input, state), honest.run(input, state), strict=True
            ):
                assert found.dtype == np.float32
                np.testing.assert_allclose(found, expected, **tolerance.model_dump())


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_results_are_not_overwritten_by_the_next_call(tiny_bundle: Bundles, name: str) -> None:
    bundle = tiny_bundle("sine-lstm")
    input = bundle.held_out()[None, :4]
    state = PyTorch(bundle.network()).network.zero_state(1).numpy()
    for runtime in opened(bundle, name):
        first = runtime.run(input, state)
        kept = [part.copy() for part in first]
        runtime.run(input + 1, first[1])
        for before, after in zip(kept, first, strict=True):
            np.testing.assert_array_equal(before, after)


def test_openvino_has_a_row_as_it_comes_and_one_in_float32(tiny_bundle: Bundles) -> None:
    bundle = tiny_bundle("char-gru")
    default, exact = rows_of(bundle, "openvino")
    assert "default (" in default.runtime
    assert exact.runtime.endswith(", f32")
    assert (exact.tolerance, exact.note) == (bundle.manifest.tolerance, "")
    if "(f32)" in default.runtime:  # a processor without bfloat16
        assert (default.tolerance, default.note) == (bundle.manifest.tolerance, "")
    else:
        assert default.tolerance in (BFLOAT16, FLOAT16)
        assert f"{HINT}=f32" in default.note


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", BFLOAT16), ("f16", FLOAT16)])
def test_a_model_that_openvino_computes_in_less_is_judged_by_that(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch, precision: str, tolerance: object
) -> None:
    openvino = load_openvino()
    found = getattr(openvino.Type, precision)
    monkeypatch.setattr(openvino.CompiledModel, "get_property", lambda *_: found)
    runtime = OpenVino(tiny_bundle("sine-rnn").read("onnx/model.onnx"))
    assert runtime.tolerance == tolerance
    assert f"default ({precision})" in runtime.name
    assert f"computes in {precision}" in runtime.note


def test_openvino_reports_to_nobody_and_leaves_nothing_in_the_home_folder(
    tmp_path: Path, tiny_bundle: Bundles
) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.runtimes.openvino import OpenVino; "
        "OpenVino(Path(sys.argv[1]).read_bytes()); "
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
    """The name of an optional runtime that cannot be imported during the test."""
    name: str = request.param
    monkeypatch.setitem(sys.modules, name, None)
    return name


def test_a_runtime_that_is_not_installed_is_named_with_its_extra(
    tiny_bundle: Bundles, missing: str
) -> None:
    (absent,) = open_runtimes(tiny_bundle("sine-rnn"), ("cpu",), (missing,))
    assert isinstance(absent, Absent)
    row = validation_row("m", absent, [], BFLOAT16)
    assert (row.status, row.runtime, row.tolerance) == ("not run", missing, None)
    assert f"pip install 'pipeline[{missing}]'" in row.reason
    with pytest.raises(UnavailableError, match=rf"pipeline\[{missing}\]"):
        require((), (missing,))


def test_a_runtime_that_cannot_be_imported_says_so(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "tract", None)
    (absent,) = open_runtimes(tiny_bundle("sine-rnn"), ("cpu",), ("tract",))
    assert isinstance(absent, Absent)
    assert "tract" in absent.reason


def test_a_runtime_that_does_not_exist_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'openvino'"):
        require((), ("openvin",))


def test_a_runtime_without_the_provider_asked_for_is_refused() -> None:
    with pytest.raises(UsageError, match="'tract' runs on cpu and nowhere else"):
        require(("cuda",), ("tract",))


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_a_model_that_cannot_be_opened_is_a_row_and_the_others_still_run(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bundle = tiny_bundle("sine-rnn")
    read = Bundle.read
    broken = ("onnx/model.onnx", b"not a model")
    monkeypatch.setattr(
        Bundle, "read", lambda self, file: broken[1] if file == broken[0] else read(self, file)
    )
    refused, after = open_runtimes(bundle, ("cpu",), (name, "torchscript"))
    assert isinstance(refused, Refused)
    row = validation_row("m", refused, [], BFLOAT16)
    assert row.status == "fail"
    assert row.reason
    assert "\n" not in row.reason
    assert not isinstance(after, Absent)


def test_a_validation_is_current_while_runtimes_and_versions_are_the_same(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = validate_bundle(tiny_bundle("sine-rnn"), ("cpu",), runtimes=("tract",))
    bundle = tiny_bundle("sine-rnn")
    content = validation.model_dump_json().encode()
    monkeypatch.setitem(bundle.manifest.files, "validation.json", file_entry(content))
    monkeypatch.setattr(Bundle, "read", lambda self, file: content)
    assert current_validation(bundle, ("cpu",), ("tract",)) == validation
    assert current_validation(bundle, ("cpu",), ("tract", "reference")) is None
    assert current_validation(bundle, ("cpu",)) is None
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "package_version", lambda package: "99")
        assert current_validation(bundle, ("cpu",), ("tract",)) is None
    monkeypatch.setitem(sys.modules, "tract", None)
    assert current_validation(bundle, ("cpu",), ("tract",)) is None


def test_the_optional_runtimes_are_those_with_an_extra() -> None:
    optional = [name for name in ALL if catalog.RUNTIMES[name].optional]
    assert tuple(optional) == OPTIONAL
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    for name in optional:
        assert f'\n{name} = ["{name}>=' in project
    assert f'\nruntimes = ["pipeline[{",".join(optional)}]"]' in project
