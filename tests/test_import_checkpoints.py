"""Checkpoints of trainers: settings beside the weights are set aside, or the way out is told."""

import argparse
import datetime
import enum
import functools
import shlex
import subprocess
import sys
from collections import UserDict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from hostile import CANARY, Payload, old, saved, weights
from torch import nn
from tutorials import Forecaster

from pipeline.errors import MalformedError, UnsafeError
from pipeline.importer import ImportSettings, import_weights


class Mode(enum.Enum):
    """A choice of the user's own."""

    FAST = 1


class Settings:
    """Settings of the user's own, which must not be made when weights are read."""

    made = 0

    def __init__(self) -> None:
        self.rate = 0.1

    def __setstate__(self, state: Any) -> None:
        Settings.made += 1


class Keyed(UserDict[str, int]):
    """A dictionary of the user's own."""


class Subclass(dict[str, int]):
    """A dictionary of the user's own, which PyTorch's unpickler cannot fill."""


BESIDE: dict[str, Any] = {
    "numpy scalar": np.float64(0.001),
    "numpy array": np.arange(6.0).reshape(2, 3),
    "numpy type": np.float32,
    "namespace": argparse.Namespace(lr=0.1, path=PurePosixPath("/x")),
    "path": Path("x"),
    "time": datetime.datetime(2024, 1, 2, 3, 4, 5),
    "range and frozen set": (range(3), frozenset({1}), slice(1, 2)),
    "enum": Mode.FAST,
    "class": nn.LSTM,
    "own object": Settings(),
    "own dictionary": Keyed(a=1),
    "whole module": nn.MSELoss(),
    "activation": nn.functional.softplus,
}


def forecaster() -> Forecaster:
    module = Forecaster("lstm", 1, 4, 2, 1)
    module.load_state_dict(weights())
    return module


def checkpoint(beside: Any) -> dict[str, Any]:
    own = {f"model.{name}": tensor for name, tensor in weights().items()}
    return {"epoch": 3, "state_dict": own, "hyper_parameters": {"lr": beside}}


# What torch.save wrote before 1.6 has the source of modules, which PyTorch's unpickler refuses.
OLD = [kind for kind in BESIDE if kind not in ("class", "whole module")]


@pytest.mark.parametrize(
    ("write", "kind"), [*((saved, kind) for kind in BESIDE), *((old, kind) for kind in OLD)]
)
def test_settings_beside_the_weights_are_set_aside(tmp_path: Path, kind: str, write: Any) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(write(checkpoint(BESIDE[kind])))
    told = set(torch.serialization.get_safe_globals())
    imported = import_weights(path, ImportSettings())
    assert imported.state_dict.key == "state_dict"
    taken = imported.state_dict.tensors
    assert taken.keys() == weights().keys()
    assert all(torch.equal(tensor, taken[name]) for name, tensor in weights().items())
    assert Settings.made == 0
    assert set(torch.serialization.get_safe_globals()) == told


@pytest.mark.parametrize(
    "content",
    [
        checkpoint(functools.partial(print, "x")),
        checkpoint(Subclass(a=1)),
        {"net": weights(), "optimizer": functools.partial(max, 1)},
        {**weights(), "pair": functools.partial(min, 2)},
        forecaster(),
        {"model": forecaster(), "epoch": 3},
    ],
    ids=["function", "dictionary", "other name", "at the top", "module", "module in a dictionary"],
)
@pytest.mark.parametrize("name", ["a.ckpt", "it's $1.ckpt"])
def test_a_file_that_is_refused_tells_a_command_that_works(
    tmp_path: Path, content: Any, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(saved(content))
    with pytest.raises(UnsafeError) as refused:
        import_weights(path, ImportSettings())
    message = str(refused.value)
    assert "\n" not in message
    words = shlex.split(message[message.index("python -c ") :].removesuffix(", where its class"))
    code = words[2].removesuffix(",")
    here = Path(__file__).parent
    environment = {"PYTHONPATH": f"{here}:{here.parent}"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    taken = import_weights(
        tmp_path / f"{path.stem}-weights.pt", ImportSettings()
    ).state_dict.tensors
    assert all(torch.equal(tensor, taken[name]) for name, tensor in weights().items())


def test_nobody_is_told_how_to_load_an_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for attack in (Payload(), subprocess.Popen):
        Path("a.ckpt").write_bytes(saved(checkpoint(attack)))
        with pytest.raises(UnsafeError, match="do not use this file") as refused:
            import_weights(Path("a.ckpt"), ImportSettings())
        assert "python -c" not in str(refused.value)
    assert not Path(CANARY).exists()


def test_an_object_whose_weights_lie_beside_it_points_to_them(tmp_path: Path) -> None:
    (tmp_path / "darts.pt").write_bytes(saved(Settings()))
    with pytest.raises(UnsafeError, match=r"whole pickled object .*Settings.*model\.state_dict"):
        import_weights(tmp_path / "darts.pt", ImportSettings())
    (tmp_path / "darts.pt.ckpt").write_bytes(saved(checkpoint(np.float64(1))))
    with pytest.raises(UnsafeError, match=r"pipeline import \S*darts\.pt\.ckpt"):
        import_weights(tmp_path / "darts.pt", ImportSettings())


def test_a_weight_that_is_no_tensor_is_not_left_out_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(saved({"state_dict": {**weights(), "norm.weight": np.ones(4)}}))
    with pytest.raises(MalformedError, match=r"norm\.weight is a numpy\S* and no tensor"):
        import_weights(path, ImportSettings())
