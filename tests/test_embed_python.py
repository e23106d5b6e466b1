"""The project of the target python: one file that needs numpy and ONNX Runtime alone."""

import subprocess
import sys
from pathlib import Path

import pytest
from embedded import bundle_of, copy_of, replace, run

from pipeline.bundle import open_bundle
from pipeline.embed.project import write_project
from pipeline.embed.targets import TARGETS

FOLDER = Path(__file__).parents[1] / "pipeline/embed/python/client"
BLOCK = """
import sys
for name in ("torch", "onnx", "pipeline"):
    sys.modules[name] = None
"""


@pytest.mark.parametrize("kind", ["series", "text"])
def test_project_finds_its_model_from_anywhere_and_without_torch(
    kind: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = tmp_path / "project"
    bundle = open_bundle(bundle_of(kind, tmp_path_factory))
    write_project(bundle, TARGETS["python"], project)
    blocked = tmp_path / "without_torch.py"
    blocked.write_text(
        f"{BLOCK}import runpy\nsys.path.insert(0, {str(project)!r})\nsys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    for program in ("replay.py", "example.py"):
        answer = run([sys.executable, "-I", blocked, project / program], cwd=tmp_path)
        assert (answer.code, answer.err) == (0, "")


TURNED = """
import sys
from pathlib import Path
import numpy as np
from model import Model

model = Model(Path(sys.argv[1]))
model.load("onnx/model.onnx")
given = {"input": np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5, 1)}
state = np.linspace(-1, 1, 3 * model.specs["state"]["shape"][1] * 4, dtype=np.float32)
state = state.reshape(3, -1, 4)
turned = np.asfortranarray(state)
assert not turned.flags.c_contiguous
for one, other in zip(*(model.step(given, {"state": each}) for each in (state, turned))):
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
"""


def test_a_state_that_is_not_contiguous_changes_no_number(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    bundle = bundle_of("series", tmp_path_factory)
    answer = run([sys.executable, "-c", TURNED, str(bundle)], cwd=FOLDER)
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("package", ["numpy", "onnxruntime"])
def test_missing_package_is_named_with_the_way_to_get_it(package: str, tmp_path: Path) -> None:
    code = f"import runpy, sys; sys.modules[{package!r}] = None\n"
    code += f"sys.path.insert(0, {str(FOLDER)!r})\n"
    code += f"runpy.run_path({str(FOLDER / 'replay.py')!r}, run_name='__main__')"
    run([sys.executable, "-c", code]).refused(7, package, "pip install")


def test_model_that_this_onnx_runtime_cannot_load(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = copy_of(bundle_of("series", tmp_path_factory), tmp_path)
    replace(copy, "onnx/model.onnx", b"not a graph")
    run([sys.executable, FOLDER / "replay.py"], "--model", copy).refused(7, "onnxruntime", "cannot")


def test_reader_who_leaves_ends_the_text_quietly(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    command = [
        sys.executable,
        FOLDER / "example.py",
        "--model",
        bundle_of("text", tmp_path_factory),
    ]
    with subprocess.Popen(
        [*map(str, command), "--length", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
