"""The project of the target cpp-libtorch: built once, and run on bundles of every kind."""

import subprocess
from pathlib import Path

import pytest
import torch
from embedded import (
    EXAMPLE,
    KINDS,
    REPLAY,
    Check,
    Programs,
    assemble,
    bundle_of,
    copy_of,
    name_of,
    needed,
    replace,
    run,
)
from tiny import missing

HEADERS = {
    "nlohmann/json.hpp": "nlohmann-json3-dev",
    "openssl/evp.h": "libssl-dev",
}


def build(project: Path) -> Path:
    """Build a project with the LibTorch of the installed PyTorch; warnings are errors."""
    needed("cmake", "g++", "make")
    for header, package in HEADERS.items():
        found = subprocess.run(
            ["g++", "-E", "-include", header, "-x", "c++", "/dev/null"], capture_output=True
        )
        if found.returncode:
            missing(f"{header} is not installed; 'apt-get install {package}' gets it")
    commands = [
        [
            *("cmake", "-S", project, "-B", project / "build"),
            f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}",
            "-DCMAKE_CXX_FLAGS=-Werror",
        ],
        ["cmake", "--build", project / "build"],
    ]
    for command in commands:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = bundle_of("series", tmp_path_factory)
    return build(assemble("cpp-libtorch", bundle, tmp_path_factory.mktemp("cpp") / "project"))


@pytest.fixture(scope="session")
def programs(project: Path) -> Programs:
    return Programs("cpp-libtorch", [project / "build/replay"], [project / "build/example"])


@pytest.mark.parametrize("check", [*REPLAY, *EXAMPLE], ids=name_of)
@pytest.mark.parametrize("kind", KINDS)
def test_contract(
    programs: Programs,
    kind: str,
    check: Check,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    check(programs, bundle_of(kind, tmp_path_factory), tmp_path)


def test_programs_take_the_model_in_the_working_directory(
    project: Path, programs: Programs, tmp_path: Path
) -> None:
    assert run(programs.replay, cwd=project).code == 0
    run(programs.replay, cwd=tmp_path).refused(3, "manifest.json")


def test_file_that_libtorch_cannot_load(
    programs: Programs, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = copy_of(bundle_of("series", tmp_path_factory), tmp_path)
    replace(copy, "model.pt", b"not a module")
    run(programs.replay, "--model", copy).refused(7, "LibTorch cannot run model.pt")
