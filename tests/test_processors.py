"""The whole road on processors that lack what those of the developers have.

oneDNN and PyTorch can be told to see a lesser processor; what cannot, generated C and the kernels
of ONNX Runtime, runs in an emulator.
"""

import json
import os
import shutil
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
    "AVX-512 without bfloat16, one core": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "PROCESSORS": "1"},
}
RUNTIMES = {"PyTorch", "TorchScript", "onnxruntime", "openvino"}
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


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_stage_works_on_a_lesser_processor(
    processor: str, tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    shutil.copytree(tiny_bundle("char-gru").folder, tmp_path / "others" / "char-gru")
    script = [sys.executable, str(ROOT / "tests/whole_road.py")]
    run(script, tmp_path, **PROCESSORS[processor])
    for model in ("sine-gru", "char-lstm"):
        rows = json.loads((tmp_path / "exported" / model / "validation.json").read_text())["rows"]
        assert {row["runtime"].split()[0] for row in rows if row["status"] == "pass"} == RUNTIMES
        assert [row for row in rows if row["status"] == "fail"] == []
        for row in rows:
            if (row["status"], row["runtime"]) == ("not run", "openvino"):
                assert "ONEDNN_MAX_CPU_ISA" in row["reason"]
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
    options += ["--steps", "5", "--seed", "1", "--json"]
    found, expected = (json.loads(run([*how, *options], tmp_path)) for how in (emulated, PROCESS))
    assert found.pop("forecast") == [pytest.approx(one, 1e-4) for one in expected.pop("forecast")]
    assert found == expected
