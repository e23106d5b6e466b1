"""What tools of others find in our graphs: Netron, onnxslim, and ONNX Runtime's own format."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from command_line import ROOT
from module_bundles import RECIPES, write_module_bundle
from tiny import installed, open_session

import pipeline
from pipeline.bundle import Bundle
from pipeline.contract.golden import trajectories
from pipeline.contract.tensors import TensorSpec

RUNTIMES_README = (ROOT / "pipeline/runtimes/README.md").read_text(encoding="utf-8")


def replay(bundle: Bundle, session: onnxruntime.InferenceSession) -> int:
    """Hold a graph against all golden calls, with its states carried on; returns their number."""
    manifest, golden, calls = bundle.manifest, bundle.golden(), 0
    for trajectory in trajectories(golden, manifest):
        states = trajectory.states
        for call in trajectory.calls:
            feeds = {spec.name: call[spec.name] for spec in manifest.contract.data_inputs} | states
            names = [spec.name for spec in manifest.outputs]
            found = dict(zip(names, session.run(names, feeds), strict=True))
            for name, array in found.items():
                half = array.dtype == np.float16
                limits = {"rtol": 1e-3, "atol": 2.5e-3} if half else golden.tolerance.model_dump()
                assert array.shape == call[name].shape
                assert np.allclose(array, call[name], **limits), name
            states = {pair.input: found[pair.output] for pair in manifest.states}
            calls += 1
    return calls


def meanings(path: Path) -> dict[str, str]:
    graph = onnx.load(path).graph
    return {value.name: value.doc_string for value in (*graph.input, *graph.output)}


def of(*specs: TensorSpec) -> dict[str, str]:
    return {spec.name: spec.meaning for spec in specs}


@pytest.mark.parametrize("preset", ["char-lstm", "sine-gru"])
def test_every_tensor_of_a_graph_says_what_it_means(
    tiny_bundle: Callable[[str], Bundle], preset: str
) -> None:
    bundle = tiny_bundle(preset)
    manifest, loop = bundle.manifest, bundle.manifest.loop
    found = meanings(bundle.folder / "onnx/model.onnx")
    assert found == of(*manifest.inputs, *manifest.outputs)
    assert loop is not None
    assert meanings(bundle.folder / loop.file) == of(*loop.inputs, *loop.outputs)
    assert all(found.values())


def test_every_tensor_of_a_module_says_what_it_means(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.GRU(2, 3, batch_first=True)
            self.hidden: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor
            y, self.hidden = self.rnn(x, self.hidden)
            return y

    axes = {"x": {0: "batch", 1: "time"}}
    bundle = pipeline.export(Net(), torch.randn(1, 5, 2), name="net", axes=axes, exported=tmp_path)
    found = meanings(bundle.folder / "onnx/model.onnx")
    assert found == of(*bundle.inputs, *bundle.outputs)
    assert all(found.values())


@pytest.mark.parametrize("kind", ["char-lstm", "sine-gru", *RECIPES])
def test_what_onnxslim_makes_of_a_graph_gives_the_golden_numbers(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, kind: str
) -> None:
    onnxslim = installed("onnxslim")
    bundle = write_module_bundle(kind, tmp_path / kind) if kind in RECIPES else tiny_bundle(kind)
    slim = onnxslim.slim(onnx.load(bundle.folder / "onnx/model.onnx"))
    whole = onnx.load(bundle.folder / "onnx/model.onnx")
    assert len(slim.graph.node) <= len(whole.graph.node)
    assert replay(bundle, open_session(slim.SerializeToString())) >= 3


def test_the_documented_line_makes_a_file_of_onnx_runtimes_own_format(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = tiny_bundle("char-lstm")
    shutil.copytree(bundle.folder, tmp_path / "exported" / "char-lstm")
    [line] = re.findall(r"^python (-m onnxruntime\.tools\..+)$", RUNTIMES_README, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, *shlex.split(line)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [made] = (tmp_path / "char-ort").glob("*.ort")
    assert made.read_bytes()[4:8] == b"ORTM"
    assert replay(bundle, open_session(made)) >= 3
    pipeline.load(tmp_path / "exported" / "char-lstm").verify()
