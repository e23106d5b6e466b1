"""The rest of the road in a narrow terminal: a module, weights of others, variants, embed, push."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hub_server import TOKEN, serve_hub
from terminals import WIDE, in_pipe, in_terminal, overlong, words
from torch import nn

from pipeline.bundle import Bundle
from pipeline.embed.targets import TARGETS

WIDTH = 60
SPINNER = range(0x2800, 0x2900)  # the Braille patterns, of which the spinner is drawn
MODULE = """
from torch import nn


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.GRU(1, 4, batch_first=True), nn.Linear(4, 1)
        self.hidden = None

    def forward(self, x):
        y, self.hidden = self.rnn(x, self.hidden)
        return x - self.out(y)
"""


@pytest.fixture
def room(tiny_bundle: Callable[[str], Bundle], tmp_path: Path) -> Path:
    """A folder with a bundle, a module, and a file of weights that others have trained."""
    shutil.copytree(tiny_bundle("sine-gru").folder, tmp_path / "exported" / "sine-gru")
    (tmp_path / "mynet.py").write_text(MODULE)
    torch.manual_seed(0)
    layers = nn.ModuleDict({"lstm": nn.LSTM(3, 5, 2), "head": nn.Linear(5, 2)})
    torch.save(layers.state_dict(), tmp_path / "weather-of-three-stations.pt")
    return tmp_path


def shown(room: Path, *commands: list[str], **variables: str) -> str:
    """What ``commands`` print at :data:`WIDTH`, where nothing is cut and no spinner is left.

    One word, such as a path, may be longer than a line.
    """
    text = in_terminal(commands, room, WIDTH, **variables)
    assert [line for line in overlong(text, WIDTH) if len(line.strip(" \\").split()) > 1] == []
    assert [sign for sign in text if ord(sign) in SPINNER or sign == "…"] == []
    assert "exit" not in text
    return text


def test_the_states_of_a_module_stand_in_a_table_of_their_own(room: Path) -> None:
    text = shown(room, ["export", "mynet.py:Denoiser"])
    assert text.splitlines()[0] == "States"
    assert "next: pipeline validate Denoiser" in text


def test_what_was_understood_of_weights_is_whole(room: Path) -> None:
    command = ["import", "weather-of-three-stations.pt", "--scaler", "21.3,4.7"]
    text = shown(room, command)
    again = in_pipe([[*command, "--force"]], room, WIDE)
    assert words(again) - words(text) == set()


def test_the_loss_of_a_variant_stands_beside_its_name(room: Path) -> None:
    text = shown(room, ["export", "sine-gru", "--weights", "int8"])
    _, *blocks = text.split("score on held-out")
    assert blocks
    for block in blocks:
        assert "sine-gru/int8  RMSE, one step" in block


def test_every_target_ends_with_two_commands(room: Path) -> None:
    for name in TARGETS:
        out = "a-project-with-a-long-name-of-target-" + name
        text = shown(room, ["embed", "sine-gru", name, "--out", out, "--trust"])
        commands = text.partition("next: ")[2].replace("\\\n  ", "").splitlines()
        if TARGETS[name].page:
            assert commands == [f"pipeline embed sine-gru {name} --out {out} --serve"]
        else:
            assert commands[0] == f"cd {out}"
            assert commands[1].removeprefix("then: ").strip()
            readme = (room / out / "README.md").read_text(encoding="utf-8")
            *_, last = commands[1].removeprefix("then: ").split(" && ")
            assert " ".join(TARGETS[name].replay[1:] or TARGETS[name].start[1:]) in last
            assert TARGETS[name].replay or last in readme


def test_a_push_shows_no_bars_of_the_library(room: Path) -> None:
    with serve_hub() as hub:
        variables = {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(room / "home"),
            "HF_HUB_DISABLE_XET": "1",
        }
        text = shown(room, ["push", "sine-gru", "ada/sine-gru"], **variables)
        assert "README.md" in hub.files("ada/sine-gru")
    lines = text.splitlines()
    assert lines[0].startswith("sine-gru: without parity")
    assert lines[-1] == 'next: in Python: pipeline.load("ada/sine-gru")'


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["embed", "sine-gru"], "TARGET is missing; 'pipeline embed --help' says what it is"),
        (["sign", "sine-gru"], "--key is missing; 'pipeline sign --help' says what it is"),
        (["run", "sine-gru", "--steps", "x"], "'x' is not a valid integer."),
    ],
)
def test_what_a_command_line_lacks_is_named(command: list[str], said: str, room: Path) -> None:
    text = in_terminal([command], room, WIDTH)
    assert overlong(text, WIDTH) == []
    assert said in " ".join(text.split())
    assert text.endswith("exit 2\n")
