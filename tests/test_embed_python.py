"""The project of the target python: one file that needs numpy and ONNX Runtime alone."""

import subprocess
import sys
from pathlib import Path

import pytest
from embedded import (
    CLIENTS,
    EXAMPLE,
    KINDS,
    REPLAY,
    Check,
    Programs,
    assemble,
    bundle_of,
    name_of,
    run,
)

FILE = CLIENTS / "python" / "model.py"
BLOCK = """
import sys
for name in ("torch", "onnx", "pipeline"):
    sys.modules[name] = None
"""


def programs(project: Path) -> Programs:
    command = [sys.executable, project / "model.py"]
    return Programs("python", [*command, "replay"], [*command, "example"])


@pytest.mark.parametrize("check", [*REPLAY, *EXAMPLE], ids=name_of)
@pytest.mark.parametrize("kind", KINDS)
def test_contract(
    kind: str, check: Check, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check(programs(FILE.parent), bundle_of(kind, tmp_path_factory), tmp_path)


@pytest.mark.parametrize("kind", ["series", "text"])
def test_project_finds_its_model_from_anywhere_and_without_torch(
    kind: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = assemble("python", bundle_of(kind, tmp_path_factory), tmp_path / "project")
    blocked = tmp_path / "without_torch.py"
    blocked.write_text(
        f"{BLOCK}import runpy\nsys.argv = ['model.py', *sys.argv[1:]]\n"
        f"runpy.run_path({str(project / 'model.py')!r}, run_name='__main__')\n"
    )
    command = [sys.executable, "-I", blocked]
    for program in ("replay", "example"):
        answer = run(command, program, cwd=tmp_path)
        assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("package", ["numpy", "onnxruntime"])
def test_missing_package_is_named_with_the_way_to_get_it(package: str, tmp_path: Path) -> None:
    code = f"import runpy, sys; sys.modules[{package!r}] = None\n"
    code += f"runpy.run_path({str(FILE)!r}, run_name='__main__')"
    run([sys.executable, "-c", code]).refused(7, package, "pip install")


def test_model_that_this_onnx_runtime_cannot_load(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from embedded import copy_of, replace

    copy = copy_of(bundle_of("series", tmp_path_factory), tmp_path)
    replace(copy, "onnx/model.onnx", b"not a graph")
    run(programs(FILE.parent).replay, "--model", copy).refused(7, "onnxruntime", "cannot")


def test_reader_who_leaves_ends_the_text_quietly(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    command = [*programs(FILE.parent).example, "--model", bundle_of("text", tmp_path_factory)]
    with subprocess.Popen(
        [*map(str, command), "--length", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
