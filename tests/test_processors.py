"""The whole road on processors that lack what those of the developers have.

oneDNN and PyTorch can be told to see a lesser processor; what cannot, generated C and the kernels
of ONNX Runtime, runs in an emulator.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import PROCESS, ROOT
from tiny import tool

from pipeline.bundle import Bundle

PROCESSORS = {
    "SSE 4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "AVX-512 without bfloat16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "one core": {"PROCESSORS": "1"},
}
WITHOUT_AVX2 = "SandyBridge"  # NumPy itself needs AVX
EMULATED = ("Nehalem", "SandyBridge", "Haswell")  # without AVX, without AVX2, without AVX-512


def run(command: list[str], folder: Path, **variables: str) -> str:
    """What a command prints, which must succeed; the environment gets ``variables``."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.fixture(scope="module")
def others(
    tiny_bundle: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Bundles that the processor of this machine has made."""
    folder = tmp_path_factory.mktemp("others")
    for preset in ("sine-gru", "char-lstm"):
        (folder / preset).symlink_to(tiny_bundle(preset).folder)
    return folder


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_stage_works_on_a_lesser_processor(
    processor: str, others: Path, tmp_path: Path
) -> None:
    script = [sys.executable, str(ROOT / "tests/whole_road.py"), str(others)]
    run(script, tmp_path, **PROCESSORS[processor])
    for model in ("sine-lstm", "char-gru"):
        rows = json.loads((tmp_path / "exported" / model / "validation.json").read_text())["rows"]
        passed = {row["runtime"].split()[0] for row in rows if row["status"] == "pass"}
        assert passed == {"PyTorch", "TorchScript", "onnxruntime", "onnx.reference", "openvino", "tract"}
        for row in rows:
            assert row["status"] != "fail"
            if row["status"] == "not run" and row["runtime"] == "openvino":
                assert "chooses bfloat16" in row["reason"]
                assert "set INFERENCE_PRECISION_HINT=f32" in row["reason"]
        assert (tmp_path / f"{model}-c" / "model.c").is_file()


@pytest.mark.parametrize("preset", ["sine-lstm", "char-gru"])
def test_generated_c_replays_whatever_the_processor_has(
    preset: str, tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    emulator = tool("qemu-x86_64")
    exported = str(tiny_bundle(preset).folder.parent)
    run([*PROCESS, "embed", preset, "c", "--exported", exported, "--out", "c"], tmp_path)
    run([tool("make"), "--silent", "replay"], tmp_path / "c")
    for processor in EMULATED:
        found = json.loads(run([emulator, "-cpu", processor, "./replay"], tmp_path / "c"))
        assert found["passed"], processor


def test_a_bundle_runs_in_onnx_runtime_without_avx2(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    emulated = [tool("qemu-x86_64"), "-cpu", WITHOUT_AVX2, *PROCESS]
    (tmp_path / "values.csv").write_text("".join(f"{value % 7}\n" for value in range(30)))
    options = ["run", str(tiny_bundle("sine-lstm").folder), "--history", "values.csv"]
    options += ["--steps", "5", "--json"]
    assert json.loads(run([*emulated, *options], tmp_path)) == json.loads(
        run([*PROCESS, *options], tmp_path)
    )
