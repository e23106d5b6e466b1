"""A user's module goes the whole road: from its class to a bundle that is proven and streams."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Here
from safetensors.torch import save
from strangers import with_file
from tiny import refused
from torch import Tensor, nn

import pipeline as api
from pipeline.bundle import open_bundle
from pipeline.errors import MalformedError, ParityError, UnsafeError, UsageError
from pipeline.runtimes.catalog import Runtimes
from pipeline.seal import seal
from pipeline.storage import canonical_json
from pipeline.trust import Trust
from pipeline.trust.own_exports import was_exported_here
from pipeline.validate import Validation, validate_bundle
from pipeline.validate.module import prepare_module

AXES = {"x": {0: "batch", 1: "time"}}
SOURCE = '''
import torch
from torch import nn


class Denoiser(nn.Module):
    """Keeps the state of its GRU, and the last two samples that its convolution needs."""

    def __init__(self, hidden=5):
        super().__init__()
        self.conv, self.gru = nn.Conv1d(1, 3, 3), nn.GRU(3, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)
        self.h = None
        self.register_buffer("before", torch.full((1, 1, 2), 0.5))

    def forward(self, x):
        x = torch.cat([self.before.expand(x.size(0), -1, -1), x.transpose(1, 2)], 2)
        self.before = x[:, :, -2:]
        y, self.h = self.gru(self.conv(x).relu().transpose(1, 2), self.h)
        return self.out(y)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb, self.lstm, self.out = nn.Embedding(9, 4), nn.LSTM(4, 5), nn.Linear(5, 3)

    def forward(self, tokens, h=None, c=None):
        state = None if h is None else (h, c)
        y, (h, c) = self.lstm(self.emb(tokens).transpose(0, 1), state)
        return self.out(y).transpose(0, 1), h, c


class AhEad(nn.Module):
    def __init__(self):
        super().__init__()
        self.look = nn.Conv1d(2, 2, 3, padding=1)

    def forward(self, x):
        return self.look(x.transpose(1, 2)).transpose(1, 2)


def broken():
    raise RuntimeError("no disk")


def number():
    return 5
'''


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("user") / "mynet.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


class Denoiser(nn.Module):
    """As in the file of the user, with another initial state in every row of the GRU's."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 2)
        self.h = torch.linspace(-1, 1, 4).reshape(1, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        y, self.h = self.gru(x, self.h.expand(-1, x.size(0), -1).contiguous())
        output: Tensor = self.out(y)
        return output


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return Denoiser()


@pytest.fixture(scope="module")
def bundle(module: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> api.Bundle:
    folder = tmp_path_factory.mktemp("modules")
    return api.export(module, torch.randn(2, 5, 2), name="den", axes=AXES, exported=folder)


def validation_of(bundle: Any, *names: str, trust: Trust | None = None) -> Validation:
    with Runtimes(names, ("cpu",), trust=trust or Trust()) as runtimes:
        return validate_bundle(bundle, runtimes)


def test_the_bundle_streams_as_the_module_does(bundle: api.Bundle, module: nn.Module) -> None:
    torch.manual_seed(1)
    x = torch.randn(1, 11, 2)
    kept = module.h
    with torch.no_grad():
        expected = torch.cat([module(x[:, :4]), module(x[:, 4:])], 1).numpy()
    module.h = kept
    stream = bundle.stream()
    found = [stream(x.numpy()[:, a:b]) for a, b in ((0, 1), (1, 4), (4, 11))]
    np.testing.assert_allclose(np.concatenate(found, 1), expected, rtol=1e-4, atol=1e-5)
    stream.reset()
    np.testing.assert_allclose(stream.state, np.linspace(-1, 1, 4).reshape(1, 1, 4), rtol=1e-6)
    assert bundle.stream(3).state.shape == (1, 3, 4)


def test_the_module_is_left_as_it_was(module: nn.Module, bundle: api.Bundle) -> None:
    assert module.training
    assert isinstance(module.h, Tensor)
    assert torch.equal(module.h, torch.linspace(-1, 1, 4).reshape(1, 1, 4))
    assert set(module.state_dict()) == set(Denoiser().state_dict())


def test_every_runtime_keeps_its_contract(bundle: api.Bundle) -> None:
    validation = validation_of(bundle, "torchscript", "onnxruntime", "reference")
    assert [row.reason for row in validation.rows] == [""] * 3
    assert validation.passed
    assert all(len(row.cases) > 25 for row in validation.rows)
    assert "6 of 6 weights are there bit for bit" in validation.rows[0].note
    assert "6 of 6 weights are there bit for bit" in validation.rows[1].note


def test_python_validates_it_and_records_that(bundle: api.Bundle) -> None:
    assert bundle.validate(("onnxruntime",), ("cpu",)).passed
    recorded = json.loads((bundle.folder / "validation.json").read_bytes())
    assert recorded["bundle_sha256"] == bundle.digest


def test_two_exports_give_the_same_bytes(
    bundle: api.Bundle, module: nn.Module, tmp_path: Path
) -> None:
    example = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(3))
    folders = []
    for name in ("one", "two"):
        again = api.export(module, example, name="den", axes=AXES, exported=tmp_path / name)
        folders.append(again.folder)
    files = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*.*")} for f in folders]
    assert files[0] == files[1]


def test_torchscript_of_ones_own_export_runs_and_that_of_others_does_not(
    bundle: api.Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert was_exported_here(bundle.digest)
    Trust().require(bundle)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with refused(UnsafeError, "could trace it anew", "--trust"):
        Trust().require(bundle)
    validation = validation_of(bundle, "torchscript", "onnxruntime")
    torchscript, onnx = validation.rows
    assert (torchscript.status, torchscript.unsafe) == ("not run", True)
    assert onnx.status == "pass"
    assert "the golden trajectories alone" in onnx.note
    assert {record.case for record in onnx.cases} >= {"one stream from its start"}
    assert validation_of(bundle, "torchscript", trust=Trust(everything=True)).passed


@pytest.mark.parametrize(("call", "name"), [(1, "output"), (0, "next_h"), (2, "next_h")])
def test_a_wrong_golden_number_of_a_module_is_seen(
    bundle: api.Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: int, name: str
) -> None:
    content = json.loads(bundle.read("golden.json"))
    data = content["trajectories"][0]["calls"][call][name]["data"]
    data[0] += 0.01
    changed = with_file(bundle, tmp_path / "changed", "golden.json", json.dumps(content).encode())
    with refused(ParityError, "golden.json"):
        validation_of(changed, "onnxruntime", trust=Trust(everything=True))
    found = validation_of(changed, "onnxruntime")
    assert found.rows[0].status == "fail"  # by the golden trajectories themselves


def test_golden_trajectories_judge_every_precision(
    bundle: api.Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the TorchScript may not run, whose error in bfloat16 could be measured."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with Runtimes(("onnxruntime",), ("cpu",)) as runtimes:
        exact = prepare_module(open_bundle(bundle.folder), runtimes).answered
    assert len(exact.answers) >= 2
    assert exact.judging("bfloat16") == exact.judging("float32") == exact.answers


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (b"no weights", "not safetensors"),
        (save({"a": torch.ones(3)}), "holds 3 numbers, and not"),
    ],
)
def test_weights_of_a_module_that_are_not_its_own_are_refused(
    bundle: api.Bundle, tmp_path: Path, weights: bytes, words: str
) -> None:
    changed = with_file(bundle, tmp_path / "changed", "model.safetensors", weights)
    with refused(MalformedError, words):
        validation_of(changed, "onnxruntime")


def test_samples_and_check_inputs_are_the_users(module: nn.Module, tmp_path: Path) -> None:
    wave = np.sin(np.arange(60) / 5).astype("f")[:, None].repeat(2, 1)
    made = api.export(
        module,
        torch.randn(2, 5, 2),
        name="told",
        axes=AXES,
        samples={"x": wave},
        check_inputs=[(torch.randn(7, 3, 2),)],
        exported=tmp_path,
    )
    np.testing.assert_array_equal(made.held_out()["x"], wave)
    (first, *_) = made.golden().trajectories
    assert first.calls[0]["x"].data[0] == 0.0
    assert validation_of(made, "onnxruntime").passed


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"name": "a b"}, UsageError, ["'a b' is no name"]),
        ({"name": "../x"}, UsageError, ["is no name"]),
        ({"opset": 5}, UsageError, ["opset 5"]),
        ({"axes": {"y": {0: "batch"}}}, UsageError, ["'y'", "choose from x"]),
        ({"samples": {"y": (0, 1)}}, UsageError, ["'y'", "choose from x"]),
        ({"samples": {"x": (0, -1)}}, UsageError, ["samples of x", "mean and deviation"]),
        ({"samples": {"x": np.zeros((4, 3))}}, UsageError, ["samples of x", "[time, 2]"]),
        ({"check_inputs": [()]}, UsageError, ["check_inputs has 0 tensors, not 1"]),
        ({"states": "all"}, UsageError, ["states is 'all'"]),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    module: nn.Module, tmp_path: Path, options: dict[str, Any], error: Any, words: list[str]
) -> None:
    given: dict[str, Any] = {"name": "x", "axes": AXES, "exported": tmp_path / "e", **options}
    with refused(error, *words):
        api.export(module, torch.randn(2, 5, 2), **given)
    assert not (tmp_path / "e").exists()


# --- from the shell


def exported(pipeline: Here, source: Path, *arguments: str) -> Any:
    return pipeline("export", *arguments, "--exported", str(source.parent / "exported"), "--json")


def test_the_shell_makes_the_same_bundle(pipeline: Here, source: Path) -> None:
    weights = source.parent / "trained.pt"
    torch.save(nn.Sequential(nn.GRU(1, 1)).state_dict(), source.parent / "other.pt")
    made = exported(pipeline, source, f"{source}:Denoiser", "--name", "den")
    assert made.code == 0, made.err
    bundle = open_bundle(source.parent / "exported" / "den")
    assert [pair.input for pair in bundle.manifest.states] == ["h", "before"]
    assert [pair.initial for pair in bundle.manifest.states] == [0.0, 0.5]
    other = sys.modules["mynet"].Denoiser(7)  # the Python that the command has run
    torch.save({"state_dict": other.state_dict()}, weights)
    options = ("--weights", str(weights), "--arg", "hidden=7", "--name", "den7")
    shape = ("--input", "x=float32[batch,time,1]")
    made = exported(pipeline, source, f"{source}:Denoiser", *options, *shape)
    assert made.code == 0, made.err
    stored = api.load(source.parent / "exported" / "den7")
    x = torch.randn(1, 6, 1)
    with torch.no_grad():
        expected = other.eval()(x).numpy()
    np.testing.assert_allclose(stored.stream()(x.numpy()), expected, rtol=1e-4, atol=1e-5)
    wrong = exported(pipeline, source, f"{source}:Denoiser", "--weights", str(weights))
    assert wrong.code == 3
    assert "does not fit Denoiser" in wrong.err


def test_states_are_told_and_shown(pipeline: Here, source: Path) -> None:
    target = ("--exported", str(source.parent / "exported"))
    tokens = ("--input", "tokens=int64[batch,time]<9")
    states = ("--state", "h:h", "--state", "c:c")
    made = pipeline("export", f"{source}:Tagger", *tokens, *states, *target)
    assert made.code == 0, made.err
    assert "argument 'h' → result 'h'" in made.out
    made = pipeline("export", f"{source}:Tagger", *target)  # told from its layers
    assert made.code == 0, made.err
    bundle = api.load(source.parent / "exported" / "Tagger")
    assert bundle.inputs[0].type == "int64"
    found = pipeline("validate", "Tagger", "--runtime", "onnxruntime", *target)
    assert found.code == 0, found.err
    assert pipeline("inspect", "Tagger", *target).code == 0
    assert "Tagger" in (source.parent / "exported" / "report.html").read_text(encoding="utf-8")
    run = pipeline("run", "Tagger", *target)
    assert (run.code, "is a module" in run.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("Denoise",), 2, ["no class or function", "did you mean 'Denoiser'"]),
        (("broken",), 3, ["broken fails at mynet.py:", "no disk"]),
        (("number",), 3, ["gives a int, not an nn.Module"]),
        (("Denoiser", "--arg", "hidden"), 2, ["--arg hidden"]),
        (("Denoiser", "--arg", "hiden=3"), 3, ["hiden", "--arg NAME=VALUE"]),
        (("Denoiser", "--input", "x=float[batch]"), 2, ["no type is called float"]),
        (("Denoiser", "--input", "x"), 2, ["give NAME=TYPE[AXES]"]),
        (("Tagger", "--input", "tokens=int64[batch,time]"), 2, ["<N at its end"]),
        (("Denoiser", "--state", "h"), 2, ["ARGUMENT:RESULT"]),
        (("AhEad", "--input", "x=float32[batch,time,2]"), 3, ["'look' (Conv1d)", 'states="none"']),
    ],
)
def test_the_shell_refuses_in_one_line(
    pipeline: Here, source: Path, arguments: tuple[str, ...], code: int, words: list[str]
) -> None:
    name, *options = arguments
    found = exported(pipeline, source, f"{source}:{name}", *options)
    assert found.code == code, found.err
    assert len(found.err.strip().splitlines()) == 1
    for word in words:
        assert word in found.err


def test_whole_sequences_are_exported_when_asked_for(pipeline: Here, source: Path) -> None:
    options = ("--input", "x=float32[batch,time,2]", "--state", "none", "--name", "ahead")
    made = exported(pipeline, source, f"{source}:AhEad", *options)
    assert made.code == 0, made.err
    bundle = api.load(source.parent / "exported" / "ahead")
    assert bundle.states == ()
    with refused(UsageError, "whole sequences"):
        bundle.stream()
    assert bundle.run(x=np.zeros((1, 4, 2)))["output"].shape == (1, 4, 2)


def test_an_example_file_says_types_and_shapes(pipeline: Here, source: Path) -> None:
    path = source.parent / "inputs.npz"
    np.savez(path, tokens=np.arange(6).reshape(2, 3))
    made = exported(pipeline, source, f"{source}:Tagger", "--example", str(path), "--name", "npz")
    assert made.code == 0, made.err
    assert api.load(source.parent / "exported" / "npz").inputs[0].shape == ("batch", "time")
    path.write_bytes(b"no archive")
    made = exported(pipeline, source, f"{source}:Tagger", "--example", str(path))
    assert (made.code, "is no .npz file" in made.err) == (3, True)


def test_options_of_modules_are_for_modules(pipeline: Here) -> None:
    found = pipeline("export", "--input", "x=float32[batch]")
    assert (found.code, "--input is for a module" in found.err) == (2, True)


def test_a_manifest_of_a_module_that_lies_is_refused(bundle: api.Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.folder, tmp_path / "copy")
    path = tmp_path / "copy" / "manifest.json"
    content = json.loads(path.read_bytes())
    assert content["states"][0]["initial"] == "initial.json"
    del content["files"]["initial.json"], content["sha256"]
    path.write_bytes(seal(canonical_json(content)))
    with refused(MalformedError, "lists no initial.json"):
        open_bundle(tmp_path / "copy")
