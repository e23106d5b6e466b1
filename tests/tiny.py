"""Models and data small enough to train in a blink, for tests of every stage."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from pipeline.bundle import Bundle
from pipeline.checkpoint import Checkpoint, save_checkpoint
from pipeline.config import CELLS, PRESETS, Config, override
from pipeline.data import Series, Text, load
from pipeline.errors import PipelineError
from pipeline.model import Network
from pipeline.runtimes.base import Absent
from pipeline.runtimes.catalog import Runtimes
from pipeline.seal import seal
from pipeline.threads import session_options
from pipeline.train.batches import make_task
from pipeline.train.scores import score
from pipeline.train.trainer import Snapshot, Trainer
from pipeline.validate import Row, Validation, validate_bundle

TEXT = "the cat sat on the mat; the dog sat on the cat. " * 12 + "what did the mat do? "


def series_config(cell: str = "rnn", **options: Any) -> Config:
    small = {"length": 200, "hidden_size": 4, "epochs": 3, "batch_size": 4, "window": 16}
    return override(PRESETS[f"sine-{cell}"], small | options)


def text_config(cell: str = "rnn", **options: Any) -> Config:
    small = {"hidden_size": 4, "embedding_size": 3, "epochs": 3, "batch_size": 4, "window": 16}
    return override(PRESETS[f"char-{cell}"], small | {"precision": "float32"} | options)


CONFIGS = [make(cell) for make in (series_config, text_config) for cell in CELLS]
_WHOLE = {"bidirectional": True, "readout": "final", "batch_size": 16, "epochs": 2}
WHOLE_CONFIGS = [series_config("gru", **_WHOLE | {"batch_size": 4}), text_config("gru", **_WHOLE)]


def by_name(config: Config) -> str:
    return config.name


def data_of(config: Config) -> Series | Text:
    """The sine that ``config`` describes, or ``TEXT`` for a text model."""
    return Text(TEXT) if config.model.task == "text" else load(config.source)


def new_trainer(config: Config, data: Series | Text | None = None) -> Trainer:
    return Trainer(config, make_task(config, data or data_of(config)), torch.device("cpu"))


def trained(config: Config, data: Series | Text | None = None) -> Trainer:
    """A trainer that has run to its end."""
    trainer = new_trainer(config, data)
    for _ in trainer.run():
        pass
    return trainer


def moved(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """``snapshot`` with another position."""
    return replace(snapshot, position=snapshot.position.model_copy(update=changes))


def assert_same_result(one: Trainer, other: Trainer) -> None:
    """Weights, the best weights and the history are the same to the last bit."""
    for a, b in ((one.network.state_dict(), other.network.state_dict()), (one.best, other.best)):
        assert a.keys() == b.keys()
        assert [key for key in a if not torch.equal(a[key], b[key])] == []
    assert one.history == other.history
    assert (one.best_epoch, one.best_loss) == (other.best_epoch, other.best_loss)


def slow_free_run(
    network: Network, values: NDArray[np.float32], origin: int, steps: int
) -> list[float]:
    """The forecast from ``origin`` by reading the whole history again at every step."""
    history = values[:origin]
    for _ in range(steps):
        with torch.no_grad():
            output, _ = network(torch.from_numpy(history)[None], network.zero_state(1))
        history = np.concatenate([history, output[0, -1:].numpy()])
    forecast: list[float] = history[origin:, 0].tolist()
    return forecast


def saved(folder: Path, config: Config, trainer: Trainer | None = None) -> Checkpoint:
    """The checkpoint of a whole training, written to ``folder``."""
    data, trainer = data_of(config), trainer or trained(config)
    return save_checkpoint(folder, trainer, config, data, score(trainer.best_network(), data))


def open_session(file: bytes | Path) -> onnxruntime.InferenceSession:
    """A graph in ONNX Runtime on the CPU, on one thread."""
    return onnxruntime.InferenceSession(file, session_options(), ["CPUExecutionProvider"])


MAIN = ("torchscript", "onnxruntime")
_runtimes: dict[object, Runtimes] = {}


def validation_of(
    bundle: Bundle,
    names: tuple[str, ...] = MAIN,
    providers: tuple[str, ...] = ("cpu",),
    report: Callable[[Row], None] = lambda row: None,
    graph: str = "model",
) -> Validation:
    """What is found of one ``graph`` of ``bundle``; the processes are kept for the next.

    Without a row that these tests, started on a lesser processor, keep OpenVINO from.
    """
    runtimes = _runtimes.setdefault((names, providers), Runtimes(names, providers))
    found = validate_bundle(bundle, runtimes, report)
    rows = tuple(row for row in found.rows if row.graph == graph and not is_held_back(row))
    return found.model_copy(update={"rows": rows})


def is_held_back(row: Row | Absent) -> bool:
    """Whether OpenVINO could not run since oneDNN is told to see a lesser processor."""
    return "ONEDNN_MAX_CPU_ISA" in os.environ and "ONEDNN_MAX_CPU_ISA" in row.reason


@contextmanager
def refused(error: type[PipelineError], *words: str) -> Iterator[None]:
    """Expect just ``error``, with a message of one line in which all of ``words`` stand."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert caught.type is error
    assert len(message.splitlines()) == 1
    assert [word for word in words if word not in message] == []


def edit_sealed(path: Path, change: Callable[[Any], object]) -> None:
    """Change a sealed JSON file, and seal it again."""
    content = json.loads(path.read_bytes())
    del content["sha256"]
    change(content)
    path.write_bytes(seal((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()))


def fail_on_call(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, error: BaseException
) -> None:
    """Let ``owner.name`` raise ``error`` on its ``call``-th call, counted from 1, and only then."""
    real, calls = getattr(owner, name), count(1)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)


def missing(what: str) -> NoReturn:
    """Skip a test whose tool is not there, or fail it where a CI should have had it."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(what)
    raise AssertionError


PACKAGE = {  # of Debian, where it has another name than the program
    "cc": "gcc",
    "clang++": "clang",
    "node": "nodejs",
    "nm": "binutils",
    "qemu-x86_64": "qemu-user",
    "size": "binutils",
    "ld.lld": "lld",
    "wasm-ld": "lld",
}


def tool(name: str) -> str:
    """The path of a program that a test needs; see :func:`missing`."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed; 'apt-get install {PACKAGE.get(name, name)}' gets it")
    return found


def installed(package: str) -> Any:
    """The module of a package that a test needs; see :func:`missing`."""
    if find_spec(package.partition(".")[0]) is None:
        missing(f"{package} is not installed; 'make test' installs it")
    return import_module(package)
