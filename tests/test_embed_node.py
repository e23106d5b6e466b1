"""The project of the target node, and the JavaScript that it shares with others."""

from pathlib import Path

import pytest
from embedded import (
    EXAMPLE,
    KINDS,
    REPLAY,
    Check,
    Programs,
    assemble,
    bundle_of,
    name_of,
    needed,
    run,
)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("node", "npm")
    out = assemble("node", bundle_of("series", tmp_path_factory), tmp_path_factory.mktemp("node"))
    assert run(["npm", "install", "--silent"], cwd=out).code == 0
    return out


@pytest.mark.parametrize("check", [*REPLAY, *EXAMPLE], ids=name_of)
@pytest.mark.parametrize("kind", KINDS)
def test_contract(
    project: Path, kind: str, check: Check, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    programs = Programs("node", ["node", project / "replay.mjs"], ["node", project / "example.mjs"])
    check(programs, bundle_of(kind, tmp_path_factory), tmp_path)
