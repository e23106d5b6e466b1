"""``pipeline import`` on the command line, and what it makes on the rest of the road."""

import json
import string
from pathlib import Path

import pytest
import torch
from command_line import Here
from hostile import CANARY, Payload, saved, weights
from tutorials import BothWays, CharRNN, Forecaster

LETTERS = string.ascii_lowercase
FEW = ("--runtime", "onnxruntime", "--runtime", "torchscript")


def test_weights_of_others_go_the_whole_road(pipeline: Here, tmp_path: Path) -> None:
    torch.manual_seed(0)
    forecaster = Forecaster("lstm", 1, 8, 2, 1).eval()
    (tmp_path / "lstm v2.pt").write_bytes(saved(forecaster.state_dict()))
    (tmp_path / "chars.pth").write_bytes(saved({"state_dict": CharRNN("rnn", 26, 12).state_dict()}))
    done = pipeline("import", "lstm v2.pt", "--scaler", "20,5")
    assert done.code == 0, done.err
    assert "lstm.weight_ih_l0 has 32 rows, 4 × 8" in done.out
    assert "next: pipeline export lstm-v2" in done.err
    letters = ("--one-hot", "--vocabulary", LETTERS, "--name", "letters")
    assert pipeline("import", "chars.pth", *letters).code == 0
    assert pipeline("export").code == 0
    done = pipeline("validate", *FEW, "--report", "page.html")
    assert done.code == 0, done.err
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "it was imported, without data of its task" in page
    card = (tmp_path / "exported" / "lstm-v2" / "README.md").read_text(encoding="utf-8")
    assert "Imported from lstm v2.pt" in card
    assert "Scores" not in card
    manifest = json.loads((tmp_path / "exported" / "letters" / "manifest.json").read_text())
    assert manifest["training"] is None
    assert manifest["source"]["file"] == "chars.pth"
    assert manifest["vocabulary"] == LETTERS
    assert pipeline("inspect").code == 0
    done = pipeline("inspect", "lstm-v2", "--plot", "forecast.svg")
    assert done.code == 2
    done.one_line_error("lstm-v2 was imported and has no data to draw")


@pytest.mark.parametrize("readout", ["last", "final", "each"])
def test_both_directions_go_the_whole_road(pipeline: Here, tmp_path: Path, readout: str) -> None:
    (tmp_path / "both.pt").write_bytes(saved(BothWays("lstm", readout).state_dict()))
    assert pipeline("import", "both.pt", "--readout", readout).code == 0
    assert pipeline("export").code == 0
    done = pipeline("validate", *FEW)
    assert done.code == 0, done.err


def test_infinite_weights_are_imported_where_they_are_allowed_and_export_tells_what_they_do(
    pipeline: Here, tmp_path: Path
) -> None:
    letters = CharRNN("gru", 5, 6).state_dict()
    letters["decoder.bias"][2] = -torch.inf  # a letter that is never to be written
    (tmp_path / "never.pt").write_bytes(saved(letters))
    arguments = ("import", "never.pt", "--one-hot", "--vocabulary", "abcde")
    done = pipeline(*arguments)
    assert done.code == 3
    done.one_line_error("infinity in decoder.bias", "--allow-non-finite")
    assert not (tmp_path / "checkpoints").exists()
    assert pipeline(*arguments, "--allow-non-finite").code == 0
    done = pipeline("export")
    assert done.code == 3
    done.one_line_error("the network gives NaN or infinity, which cannot be compared")


def test_the_same_import_is_unchanged_and_another_replaces_nothing(
    pipeline: Here, tmp_path: Path
) -> None:
    (tmp_path / "net.pt").write_bytes(saved(weights()))
    assert "net: imported" in pipeline("import", "net.pt").err
    before = (tmp_path / "checkpoints" / "net" / "checkpoint.json").read_bytes()
    assert "net: unchanged" in pipeline("import", "net.pt").err
    done = pipeline("import", "net.pt", "--scaler", "1,2")
    assert done.code == 2
    done.one_line_error("holds another", "--name", "--force")
    assert (tmp_path / "checkpoints" / "net" / "checkpoint.json").read_bytes() == before
    assert pipeline("import", "net.pt", "--scaler", "1,2", "--force").code == 0
    assert (tmp_path / "checkpoints" / "net" / "checkpoint.json").read_bytes() != before


def test_what_was_understood_is_there_for_machines(pipeline: Here, tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(saved(weights()))
    done = pipeline("import", "net.pt", "--json")
    content = json.loads(done.out)
    assert content["status"] == "imported"
    assert {"what": "layers", "value": "2 × 4 units", "because": "'lstm'"} in content["understood"]
    assert content["config"]["model"]["num_layers"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["--scaler", "1"], 2, ["--scaler 1: give two numbers"]),
        (["--scaler", "1,0"], 2, ["the deviation is above 0"]),
        (["--scaler", "1,1e-60"], 2, ["float32 can hold both"]),
        (["--scaler", "nan,1"], 2, ["give two numbers"]),
        (["--name", "a/b"], 2, ["--name a/b"]),
        (["--key", "ema"], 2, ["no state dict in the file is called 'ema'"]),
        (["--nonlinearity", "relu"], 2, ["is for the cell rnn"]),
        (["--vocabulary", "ab"], 3, ["has 2 characters", "weights are for 1"]),
    ],
)
def test_bad_options_are_one_line_and_write_nothing(
    pipeline: Here, tmp_path: Path, arguments: list[str], code: int, parts: list[str]
) -> None:
    (tmp_path / "net.pt").write_bytes(saved({"net": weights()}))
    done = pipeline("import", "net.pt", *arguments)
    assert done.code == code, done.err
    done.one_line_error(*parts)
    assert not (tmp_path / "checkpoints").exists()


def test_a_payload_is_exit_4_and_its_canary_lives(pipeline: Here, tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(saved(weights(x=Payload())))
    done = pipeline("import", "net.pt")
    assert done.code == 4
    done.one_line_error("would call posix.system", "do not use this file")
    assert not (tmp_path / CANARY).exists()
    assert not (tmp_path / "checkpoints").exists()
