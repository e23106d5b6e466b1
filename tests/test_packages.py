"""Hints name packages that are there to be had, for the Python that is running."""

import re
import sys
from pathlib import Path

import pytest

from pipeline.packages import REQUIREMENTS, how_to_install
from pipeline.runtimes.catalog import RUNTIMES

PROJECT = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")


OPTIONAL = [kind.requirement for kind in RUNTIMES.values() if kind.optional]
ASKED_FOR = {**REQUIREMENTS, **dict(zip(OPTIONAL, OPTIONAL, strict=True))}


@pytest.mark.parametrize("package", ASKED_FOR)
def test_a_hint_installs_what_the_project_asks_for(package: str) -> None:
    assert f'"{ASKED_FOR[package]}"' in PROJECT
    assert how_to_install(package) == f"{sys.executable} -m pip install '{ASKED_FOR[package]}'"


def test_a_hint_can_be_pasted_where_the_path_has_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/my own/python")
    assert how_to_install("pyarrow") == "'/my own/python' -m pip install 'pyarrow>=17'"


def test_the_distribution_is_not_called_like_a_package_of_strangers() -> None:
    assert re.search(r'^name = "recurrent-pipeline"$', PROJECT, re.MULTILINE)
