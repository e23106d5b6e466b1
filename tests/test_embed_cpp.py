"""The projects of the targets in C++, where their libraries have ways of their own."""

import io
import warnings
from pathlib import Path

import pytest
import torch
from embedded import (
    Programs,
    bundle_of,
    copy_of,
    manifest_of,
    programs_of,
    project_of,
    replace,
    run,
)
from tiny import tool

from pipeline.bundle import open_bundle
from pipeline.embed.project import write_project
from pipeline.embed.targets import TARGETS

FILES = {"cpp-libtorch": "model.pt", "cpp-onnxruntime": "onnx/model.onnx"}


@pytest.fixture(params=FILES)
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs_of(request.param, "series", tmp_path_factory)


def test_programs_take_the_model_in_the_working_directory(
    programs: Programs, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = project_of(programs.target, "series", tmp_path_factory)
    assert run(programs.replay, cwd=project).code == 0
    run(programs.replay, cwd=tmp_path).refused(3, "manifest.json")


def test_file_that_the_library_cannot_load(
    programs: Programs, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = copy_of(bundle_of("series", tmp_path_factory), tmp_path)
    replace(copy, FILES[programs.target], b"not a model")
    run(programs.replay, "--model", copy).refused(7, "cannot run")


class Turned(torch.nn.Module):
    """A model whose outputs are what another gives, with their numbers in another order."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, given: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output, following = self.model(given, state)
        return tuple(
            one.transpose(0, -1).contiguous().transpose(0, -1) for one in (output, following)
        )


def test_outputs_of_libtorch_that_are_not_contiguous_change_no_number(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Outputs and states of many streams, which come out transposed in memory."""
    programs = programs_of("cpp-libtorch", "two columns", tmp_path_factory)
    copy = copy_of(bundle_of("two columns", tmp_path_factory), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        model = torch.jit.load(copy / "model.pt")
        shape = manifest_of(copy)["inputs"][1]["shape"]
        given, state = torch.randn(3, 5, 2), torch.randn(3, *shape[1:])
        turned = torch.jit.trace(Turned(model), (given, state))
        assert not any(one.is_contiguous() for one in turned(given, state))
        file = io.BytesIO()
        torch.jit.save(turned, file)
    replace(copy, "model.pt", file.getvalue())
    answer = run(programs.replay, "--model", copy)
    assert (answer.code, answer.err) == (0, "")


def test_library_that_is_gone_is_named(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The program opens the one that the build found, when it runs."""
    project = project_of("cpp-onnxruntime", "series", tmp_path_factory)
    objects = project / "build/CMakeFiles/replay.dir"
    command = [tool("c++"), "-std=c++17", '-DLIBRARY="/nowhere/libonnxruntime.so"']
    command += [str(project / "runtime.cpp"), *map(str, objects.glob("*.o"))]
    command += [str(project / "build/libbundle.a"), "-lcrypto", "-ldl"]
    assert run(command, "-o", tmp_path / "replay").code == 0
    answer = run([tmp_path / "replay"], cwd=project)
    answer.refused(7, "/nowhere/libonnxruntime.so", "-DONNXRUNTIME_LIBRARY")


def test_build_without_the_library_says_how_to_get_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = open_bundle(bundle_of("series", tmp_path_factory))
    write_project(bundle, TARGETS["cpp-onnxruntime"], tmp_path / "project")
    command = [tool("cmake"), "-S", ".", "-B", "build", "-DPYTHON=false"]
    command += ["-DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY", "-DCMAKE_FIND_ROOT_PATH=/nowhere"]
    answer = run(command, cwd=tmp_path / "project")
    assert answer.code == 1
    assert "pip install onnxruntime" in answer.err
