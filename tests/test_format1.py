"""Bundles of format 1 are read by all that reads bundles; two of them are kept as data."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Here
from tiny import refused

import pipeline as api
from pipeline.bundle import network_of, open_bundle
from pipeline.bundle.network import network_reference
from pipeline.contract.golden import trajectories
from pipeline.contract.law import FLOAT32
from pipeline.errors import IntegrityError, MalformedError
from pipeline.seal import seal
from pipeline.storage import canonical_json
from pipeline.trust.decision import why_not_ours
from pipeline.validate.golden import require_golden

FORMAT1 = Path(__file__).with_name("data") / "format1"
NAMES = ("sine-gru", "char-lstm")


@pytest.mark.parametrize("name", NAMES)
def test_it_has_the_contract_of_format_2(name: str) -> None:
    bundle = open_bundle(FORMAT1 / name)
    bundle.verify()
    manifest = bundle.manifest
    assert json.loads(bundle.content)["format"] == 1
    assert manifest.format == 2
    assert manifest.contract.states == (("state", "next_state"),)
    assert (manifest.contract.batch, manifest.contract.time) == ("batch", "time")
    assert manifest.tolerance == {"float32": FLOAT32}
    assert bundle.digest == json.loads(bundle.content)["sha256"]


@pytest.mark.parametrize("name", NAMES)
def test_its_golden_numbers_are_those_of_its_weights_and_of_its_graph(name: str) -> None:
    bundle = api.load(FORMAT1 / name)
    network = network_of(bundle)
    require_golden(bundle, network_reference(network, bundle.task_data()))
    assert why_not_ours(bundle) is None  # its TorchScript may run
    calls = 0
    for trajectory in trajectories(bundle.golden(), bundle.manifest):
        stream = bundle.stream(len(trajectory.calls[0]["input"]))
        stream.state = trajectory.states
        for call in trajectory.calls:
            found = stream(call["input"])
            np.testing.assert_allclose(found, call["output"], rtol=1e-4, atol=1e-5)
            calls += 1
    assert calls == 9


def test_it_writes_text_and_forecasts() -> None:
    text = api.load(FORMAT1 / "char-lstm").generate("the ", 30, seed=1)
    assert len(text) == 30
    ahead = api.load(FORMAT1 / "sine-gru").forecast(np.sin(np.arange(30) / 5), steps=4, samples=9)
    assert ahead.shape == (4, 4)
    assert np.isfinite(ahead.to_numpy()).all()


def test_every_command_reads_it(pipeline: Here, tmp_path: Path) -> None:
    shutil.copytree(FORMAT1, tmp_path / "exported")
    for name in NAMES:
        found = pipeline("validate", name, "--runtime", "onnxruntime", "--exported", "exported")
        assert found.code == 0, found.err
    shown = json.loads(pipeline("inspect", "sine-gru", "--json").out)
    assert shown[0]["format"] == 2
    assert pipeline("inspect", "sine-gru", "--plot", "forecast.svg").code == 0
    (tmp_path / "wave.csv").write_text("\n".join(map(str, np.sin(np.arange(30) / 5))))
    found = pipeline("run", "sine-gru", "--history", "wave.csv", "--steps", "3")
    assert found.code == 0, found.err
    assert (tmp_path / "exported" / "report.html").is_file()


def _without(name: str) -> Any:
    return lambda content: content.pop(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("state"), "lacks what format 1 has"),
        (_without("tolerance"), "lacks what format 1 has"),
        (lambda c: c.update(state=5), "lacks what format 1 has"),
        (lambda c: c.update(inputs=[5]), "lacks what format 1 has"),
        (lambda c: c["state"].update(shape=["batch", 10**6]), "state is not that of the model"),
        (lambda c: c["state"].update(initial=1.0), "state is not that of the model"),
        (lambda c: c.update(states=[]), "states is not of format 1"),
        (lambda c: c.update(files=[]), "lacks what format 1 has"),
    ],
)
def test_what_is_not_format_1_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    shutil.copytree(FORMAT1 / "sine-gru", tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    content = json.loads(path.read_bytes())
    del content["sha256"]
    change(content)
    path.write_bytes(seal(canonical_json(content)))
    with refused(MalformedError, message):
        open_bundle(tmp_path / "bundle")


def test_a_flipped_bit_of_it_is_seen(tmp_path: Path) -> None:
    shutil.copytree(FORMAT1 / "sine-gru", tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with refused(IntegrityError, "was changed"):
        open_bundle(tmp_path / "bundle")
