"""Every target that is handed a variant replays its golden trajectories."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from embedded import COMPILED_IN, programs_of
from embedded_replay import replay_passes
from small_variants import store_all_small
from tiny import missing

from pipeline.bundle import Bundle, open_bundle
from pipeline.contract.small_weights import SmallType
from pipeline.embed.replay import Workshop
from pipeline.embed.targets import RUN_HERE
from pipeline.errors import UnavailableError
from pipeline.run.export import export_variant

KINDS: tuple[SmallType, ...] = ("float16", "int8", "int4")
PRESETS = ("sine-lstm", "char-gru")
TAKING_FILES = [
    name for name, target in RUN_HERE.items() if target.replay and name not in COMPILED_IN
]


@pytest.fixture(scope="module")
def variants(
    tiny_bundle: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory
) -> list[Bundle]:
    """A variant in every type, of a series and of a text."""
    made: list[Bundle] = []
    with pytest.MonkeyPatch.context() as patch:
        store_all_small(patch)
        for preset in PRESETS:
            folder = tmp_path_factory.mktemp("variants") / preset
            shutil.copytree(tiny_bundle(preset).folder, folder)
            made += [export_variant(open_bundle(folder), kind) for kind in KINDS]
    return made


@pytest.mark.parametrize("name", COMPILED_IN)
def test_a_target_that_holds_the_weights_replays_the_golden_data_of_variants(
    name: str, variants: list[Bundle]
) -> None:
    try:
        RUN_HERE[name].require()
    except UnavailableError as error:
        missing(str(error))
    with Workshop(name) as workshop:
        rows = [workshop.replay(variant) for variant in variants]
    assert [(row.model, row.reason) for row in rows if row.status != "pass"] == []
    assert {row.model for row in rows} == {f"{of}-{kind}" for of in PRESETS for kind in KINDS}


@pytest.mark.parametrize("name", TAKING_FILES)
def test_a_target_that_takes_a_file_replays_the_golden_data_of_variants(
    name: str, variants: list[Bundle], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    programs = programs_of(name, "series", tmp_path_factory)
    for variant in variants:
        replay_passes(programs, variant.folder, tmp_path)
