"""Hostile and broken files: each refused with a message of its own, and nothing in them runs."""

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hostile import CANARY, HOSTILE, Payload, old, saved, weights
from safetensors.torch import save as save_safetensors
from tutorials import Embedded

from pipeline.errors import IntegrityError, MalformedError, PipelineError
from pipeline.importer import ImportSettings, import_weights


def refusal(path: Path, choices: ImportSettings | None = None) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        import_weights(path, choices or ImportSettings())
    return caught.value


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_and_nothing_in_it_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, code, message = HOSTILE[name]
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    path.write_bytes(make())
    error = refusal(path)
    assert error.exit_code == code, error
    assert message in str(error)
    assert len(str(error)) < 600
    assert [entry.name for entry in tmp_path.iterdir()] == [name], f"{CANARY} or more was written"


def test_every_hostile_file_has_a_message_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(HOSTILE) >= 40
    monkeypatch.chdir(tmp_path)
    messages: dict[str, list[str]] = {}
    for name, (make, _, _) in HOSTILE.items():
        Path(name).write_bytes(make())
        messages.setdefault(str(refusal(Path(name))).replace(name, "FILE"), []).append(name)
    shared = [sorted(names) for names in messages.values() if len(names) > 1]
    # The same payload in other wrappings would call the same function, and that is what is told.
    payloads = sorted(name for name in HOSTILE if "posix.system" in HOSTILE[name][2])
    nonsense = ["compressed.pt", "text.pt"]
    offsets = ["hole.safetensors", "overlap.safetensors"]  # in the words of safetensors
    assert sorted(shared) == sorted([payloads, nonsense, offsets])


def test_the_canary_dies_where_a_payload_is_loaded_without_care(tmp_path: Path) -> None:
    (tmp_path / "payload.pt").write_bytes(saved(Payload()))
    careless = "import torch; torch.load('payload.pt', weights_only=False)"
    subprocess.run([sys.executable, "-c", careless], cwd=tmp_path, check=True)
    assert (tmp_path / CANARY).exists()


@pytest.mark.parametrize(
    "make",
    [saved, old, save_safetensors, lambda own: saved({"state_dict": own, "epoch": 3})],
    ids=["torch.save", "before 1.6", "safetensors", "trainer"],
)
def test_a_file_cut_at_every_64th_of_its_length_is_malformed(
    make: Callable[[object], bytes], tmp_path: Path
) -> None:
    data, path = make(weights()), tmp_path / "weights.pt"
    for part in range(64):
        path.write_bytes(data[: len(data) * part // 64])
        error = refusal(path)
        assert type(error) is MalformedError
        assert "\n" not in str(error)
    path.write_bytes(data)
    assert import_weights(path, ImportSettings()).network


@pytest.mark.parametrize("make", [saved, old, save_safetensors], ids=lambda make: make.__name__)
def test_a_file_with_any_byte_changed_is_read_or_refused_and_never_crashes(
    make: Callable[[object], bytes], tmp_path: Path
) -> None:
    data, path = make(weights()), tmp_path / "weights.pt"
    step = max(1, len(data) // 150)
    for place in range(0, len(data), step):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        with suppress(PipelineError):
            import_weights(path, ImportSettings())


def test_a_flipped_bit_in_a_weight_of_an_archive_is_found(tmp_path: Path) -> None:
    data, weight = bytearray(saved(weights())), weights()["lstm.weight_hh_l1"]
    start = data.index(weight.numpy().tobytes())
    for place in range(start, start + weight.nbytes, 16):
        changed = data.copy()
        changed[place] ^= 1
        (tmp_path / "weights.pt").write_bytes(changed)
        assert isinstance(refusal(tmp_path / "weights.pt"), IntegrityError)


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ("abca", "has 'a' more than once"),
        ("abcdef", "has 6 characters, and the weights are for 4; give 4, or 3 if index 0"),
        ("", "has 0 characters"),
        ('["a", "b", "cd", "e"]', "'cd' is not one character"),
        ('{"a": 0, "b": 1, "c": 1, "d": 2}', "its indices are not 0 to 3, each once"),
        ('{"a": 0.5}', "a map needs characters and their indices"),
        (b"ab\xffd", "not UTF-8 at byte 2"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(
    tmp_path: Path, vocabulary: str | bytes, message: str
) -> None:
    (tmp_path / "weights.pt").write_bytes(saved(Embedded("gru", 4, 3, 5).state_dict()))
    data = vocabulary if isinstance(vocabulary, bytes) else vocabulary.encode()
    (tmp_path / "vocabulary").write_bytes(data)
    choices = ImportSettings(vocabulary=str(tmp_path / "vocabulary"))
    with pytest.raises(MalformedError, match=re.escape(message)):
        import_weights(tmp_path / "weights.pt", choices)


def test_a_folder_or_nothing_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    assert refusal(tmp_path).exit_code == 8
    assert "is missing" in str(refusal(tmp_path / "absent.pt"))
