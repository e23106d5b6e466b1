"""The two programs of every target keep one contract, whatever their language."""

from pathlib import Path

import pytest
from embedded import COMPILED_IN, bundle_of, programs_of
from embedded_checks import CASES, Check

from pipeline.embed.targets import TARGETS

PAGES = {name for name, target in TARGETS.items() if not target.replay}  # have tests of their own


@pytest.mark.parametrize("target", [name for name in TARGETS if name not in PAGES])
@pytest.mark.parametrize(("kind", "check"), CASES)
def test_contract(
    target: str, kind: str, check: Check, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    refused = ("both directions", "projected") if target == "c-integer" else ("both directions",)
    if target in COMPILED_IN and any(one in kind for one in refused):
        return  # when it is generated
    programs = programs_of(target, kind, tmp_path_factory)
    check(programs, bundle_of(kind, tmp_path_factory), tmp_path)
