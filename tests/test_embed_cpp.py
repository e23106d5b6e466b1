"""The project of the target cpp-libtorch, where LibTorch has ways of its own."""

from pathlib import Path

import pytest
from embedded import Programs, bundle_of, copy_of, programs_of, project_of, replace, run


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs_of("cpp-libtorch", "series", tmp_path_factory)


def test_programs_take_the_model_in_the_working_directory(
    programs: Programs, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert (
        run(programs.replay, cwd=project_of("cpp-libtorch", "series", tmp_path_factory)).code == 0
    )
    run(programs.replay, cwd=tmp_path).refused(3, "manifest.json")


def test_file_that_libtorch_cannot_load(
    programs: Programs, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = copy_of(bundle_of("series", tmp_path_factory), tmp_path)
    replace(copy, "model.pt", b"not a module")
    run(programs.replay, "--model", copy).refused(7, "LibTorch cannot run model.pt")
