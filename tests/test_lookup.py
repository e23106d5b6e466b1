"""Models are found by their names and by their paths."""

from pathlib import Path

import pytest
from tiny import refused

from pipeline.checkpoint import CHECKPOINT_FILE
from pipeline.errors import UsageError
from pipeline.lookup import find_models


def test_models_are_found_in_the_order_of_the_presets(tmp_path: Path) -> None:
    for name in ("mine", "char-gru", "sine-rnn", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / CHECKPOINT_FILE).touch()
    (tmp_path / "empty").mkdir()
    found = [path.name for path in find_models(tmp_path, CHECKPOINT_FILE, (), "train")]
    assert found == ["sine-rnn", "char-gru", "mine"]
    assert find_models(tmp_path, CHECKPOINT_FILE, ("mine",), "train") == [tmp_path / "mine"]
    with refused(UsageError, "'sine-rn'", "did you mean 'sine-rnn'"):
        find_models(tmp_path, CHECKPOINT_FILE, ("sine-rn",), "train")


def test_a_model_is_found_by_its_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("own/mine", "other/mine", "other/yours", "here"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / CHECKPOINT_FILE).touch()
    monkeypatch.chdir(tmp_path)
    own = Path("own")

    def found(*names: str) -> list[Path]:
        return find_models(own, CHECKPOINT_FILE, names, "train")

    assert found("mine", "other/yours") == [own / "mine", Path("other/yours")]
    assert found(str(tmp_path / "other" / "mine")) == [tmp_path / "other" / "mine"]
    assert found("here") == [Path("here")]  # no model of that name, but a folder that is one
    assert found("mine", "own/mine") == [own / "mine"]
    assert found("nowhere/none") == [Path("nowhere/none")]  # whoever reads it says what is missing
    assert find_models(Path("none"), CHECKPOINT_FILE, ("here",), "train") == [Path("here")]
    with refused(UsageError, "own/mine and other/mine have the same name"):
        found("mine", "other/mine")
    monkeypatch.chdir(tmp_path / "here")
    assert found(".") == [tmp_path / "here"]


def test_folder_without_models_says_which_command_makes_them(tmp_path: Path) -> None:
    with refused(UsageError, "pipeline train"):
        find_models(tmp_path / "nowhere", CHECKPOINT_FILE, ("sine-rnn",), "train")
