"""MLflow logs a bundle as it is, with its signature and an example."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import ROOT
from module_bundles import write_module_bundle
from tiny import installed, refused

import pipeline
from pipeline.bundle import Bundle
from pipeline.contract.golden import trajectories
from pipeline.errors import UnavailableError


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow, which records in the temporary folder; what it warns of itself is its own affair."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = installed("mlflow")
        installed("mlflow.onnx")
        before = library.get_tracking_uri()
        library.set_tracking_uri((tmp_path / "runs").as_uri())
        yield library
        library.set_tracking_uri(before)
    os.environ.pop("MLFLOW_RUN_ID", None)


@pytest.mark.parametrize("kind", ["char-lstm", "sine-gru", "module", "sequence"])
def test_logged_model_has_the_contract_and_gives_the_golden_numbers(
    mlflow: Any, tiny_bundle: Callable[[str], Bundle], tmp_path: Path, kind: str
) -> None:
    is_network = "-" in kind
    bundle = tiny_bundle(kind) if is_network else write_module_bundle(kind, tmp_path / kind)
    with mlflow.start_run():
        logged = mlflow.onnx.log_model(
            **pipeline.load(bundle.folder).mlflow_arguments(), name="model"
        )
    model = mlflow.pyfunc.load_model(logged.model_uri)
    signature, manifest = model.metadata.signature, bundle.manifest
    sides = ((signature.inputs, manifest.inputs), (signature.outputs, manifest.outputs))
    for schema, specs in sides:
        for one, spec in zip(schema.inputs, specs, strict=True):
            shape = tuple(size if isinstance(size, int) else -1 for size in spec.shape)
            assert (one.name, one.type, one.shape) == (spec.name, np.dtype(spec.type), shape)
    assert model.metadata.metadata["bundle_sha256"] == bundle.digest
    first = next(trajectories(bundle.golden(), manifest))
    states, call = first.states, first.calls[0]
    example = model.input_example
    assert {*example} == {spec.name for spec in manifest.inputs}
    for name, array in example.items():
        assert np.array_equal(np.asarray(array), (call | states)[name])
    for call in first.calls:
        inputs = {spec.name: call[spec.name] for spec in manifest.contract.data_inputs}
        found = model.predict(inputs | states)
        for name, array in found.items():
            assert np.allclose(array, call[name], rtol=1e-4, atol=1e-5), name
        states = {pair.input: found[pair.output] for pair in manifest.states}


def test_arrays_that_do_not_fit_the_signature_are_refused(
    mlflow: Any, tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = tiny_bundle("sine-gru")
    given = pipeline.load(bundle.folder).mlflow_arguments()
    mlflow.onnx.save_model(**given, path=tmp_path / "saved")
    model = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    inputs = dict(given["input_example"])
    with pytest.raises(mlflow.exceptions.MlflowException, match="state"):
        model.predict({name: array for name, array in inputs.items() if name != "state"})
    with pytest.raises(mlflow.exceptions.MlflowException, match="shape"):
        model.predict({**inputs, "state": inputs["state"][..., :-1]})


def test_the_lines_of_python_in_the_readme_run(
    mlflow: Any,
    tiny_bundle: Callable[[str], Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "char-lstm").symlink_to(tiny_bundle("char-lstm").folder)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "pipeline/run/README.md").read_text(encoding="utf-8")
    [lines] = [block for block in text.split("```python\n") if "import mlflow" in block]
    exec(compile(lines.partition("```")[0], "README.md", "exec"), {})
    assert [*(tmp_path / "runs").rglob("MLmodel")]


def test_without_mlflow_the_way_to_get_it_is_told(
    tiny_bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.models", None)
    with refused(UnavailableError, "mlflow is not installed", "pip install"):
        pipeline.load(tiny_bundle("sine-gru").folder).mlflow_arguments()
