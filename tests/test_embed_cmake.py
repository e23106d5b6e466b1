"""Generated C and the clients in C++ are targets that a project of CMake takes in."""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from embedded import bundle_of
from numpy.typing import NDArray
from tiny import tool

from pipeline.bundle import open_bundle
from pipeline.contract.golden import trajectories
from pipeline.embed.project import write_project
from pipeline.embed.targets import TARGETS

MODELS = ("series", "text")


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder: Path, *options: str) -> None:
    run(tool("cmake"), "-S", ".", "-B", "build", *options, folder=folder)
    run(tool("cmake"), "--build", "build", "--parallel", "2", folder=folder)


def numbers(output: str) -> NDArray[np.float64]:
    return np.array(output.split(), np.float64)


@pytest.mark.parametrize("language", ["C", "CXX"])
def test_two_models_in_c_are_libraries_of_one_project(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, language: str
) -> None:
    """A program that links both replays the first golden call of each."""
    names, body, expected = [], [], []
    for kind in MODELS:
        bundle = open_bundle(bundle_of(kind, tmp_path_factory))
        write_project(bundle, TARGETS["c"], tmp_path / kind)
        name = bundle.manifest.name.replace("-", "_")
        call = next(trajectories(bundle.golden(), bundle.manifest)).calls[0]
        given, made = call["input"][0], call["output"][0]
        values = ", ".join(map(str, given.ravel().tolist()))
        upper, number = name.upper(), "float" if given.dtype.kind == "f" else "int64_t"
        names.append(name)
        expected.append(made.ravel())
        body.append(
            f"static float state_{name}[{upper}_STATE], output_{name}[{made.size}];\n"
            f"static const {number} input_{name}[] = {{{values}}};\n"
            f"static void use_{name}(void) {{\n"
            f"  {name}_init(state_{name});\n"
            f"  {name}_run(state_{name}, input_{name}, output_{name}, {len(given)});\n"
            f'  for (int i = 0; i < {made.size}; i++) printf("%.9g\\n", output_{name}[i]);\n}}\n'
        )
    suffix = {"C": "c", "CXX": "cpp"}[language]
    (tmp_path / f"main.{suffix}").write_text(
        "#include <stdio.h>\n"
        + "".join(f"#include <{name}/model.h>\n" for name in names)
        + "".join(body)
        + f"int main(void) {{ {' '.join(f'use_{name}();' for name in names)} return 0; }}\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\n"
        f"project(app LANGUAGES C {language})\n"
        + "".join(f"add_subdirectory({kind})\n" for kind in MODELS)
        + f"add_executable(app main.{suffix})\n"
        + f"target_link_libraries(app PRIVATE {' '.join(names)})\n"
    )
    build(tmp_path, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    found = numbers(run("build/app", folder=tmp_path))
    assert np.allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-5)
    commands: Sequence[dict[str, str]] = json.loads(
        (tmp_path / "build/compile_commands.json").read_text()
    )
    assert [*("-O3" in one["command"] for one in commands if one["file"].endswith("model.c"))] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("target", "option"),
    [
        ("cpp-libtorch", f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"),
        ("cpp-onnxruntime", f"-DPYTHON={sys.executable}"),
    ],
)
def test_the_client_in_cpp_is_a_library_of_another_project(
    target: str, option: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    TARGETS[target].require()
    bundle = open_bundle(bundle_of("series", tmp_path_factory))
    for folder in ("one", "two"):  # two models, for which one library is enough
        write_project(bundle, TARGETS[target], tmp_path / folder)
    (tmp_path / "main.cpp").write_text(
        "#include <iostream>\n#include <bundle.hpp>\n"
        'int main() { std::cout << Model("one/model").manifest["name"].get<std::string>() '
        '<< Model("two/model").states.size(); }\n'
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(app LANGUAGES CXX)\n"
        "add_subdirectory(one)\nadd_subdirectory(two)\n"
        "add_executable(app main.cpp)\ntarget_link_libraries(app PRIVATE bundle)\n"
    )
    options = (option, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    run(tool("cmake"), "-S", ".", "-B", "build", *options, folder=tmp_path)
    commands = json.loads((tmp_path / "build/compile_commands.json").read_text())
    by_name = {Path(one["file"]).relative_to(tmp_path).as_posix(): one for one in commands}
    parts = ("bundle", "runtime", "tensor")
    assert {*by_name} == {"main.cpp", *(f"one/{part}.cpp" for part in parts)}
    # Building all of it would take most of a minute; what is left is what other tests build.
    command = shlex.split(by_name["main.cpp"]["command"])
    run(*command, "-fsyntax-only", folder=tmp_path / "build")
    linked = (tmp_path / "build/CMakeFiles/app.dir/link.txt").read_text()
    assert ("libtorch" in linked) == (target == "cpp-libtorch")
    assert "libonnxruntime" not in linked  # it is opened when the program runs
