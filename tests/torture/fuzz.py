"""Random input by hypothesis, each example in a fork: a code of the table, one line, no hang."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from pipeline.contract import Bundle
from pipeline.contract.files import GOLDEN_FILE, INITIAL_FILE
from pipeline.seal import seal
from torture.cases import (
    CHECKPOINT,
    MANIFEST,
    bundle_of,
    checkpoint_of,
    relist,
    reseal_snapshot,
    unsealed_json,
)
from torture.commands import (
    BENCHMARK,
    INSPECT,
    PLOT,
    RUN,
    TORCHSCRIPT,
    TRUSTED,
    VALIDATE,
    commands_for,
    embed,
    of_task,
)
from torture.forked import Ended, pipeline
from torture.originals import MODELS, TRAINED, Originals, resume_command, scratch, train_command
from torture.spread import Count, Finding, Judged, Plan, spread
from torture.strategies import command_lines, documents, spoilt, tables
from torture.verdict import fault_of

_LIMIT = 3.0  # seconds, after which a command is interrupted: it may have been asked for a lot
_SHARE = 25  # examples of one run of hypothesis

Read = Callable[[Path, Any], Ended]


@dataclass(frozen=True)
class Subject:
    """What is fuzzed: a strategy, and how an example is read in a copy of the originals."""

    name: str
    model: str
    strategy: Callable[[Path], st.SearchStrategy[Any]]
    read: Read


def _first_command(*commands: tuple[str, ...]) -> Callable[[Path, int], Ended]:
    def run(folder: Path, number: int) -> Ended:
        return pipeline(commands[number % len(commands)], folder, limit=_LIMIT, interrupt=True)

    return run


def _manifest(bundle: Bundle) -> Subject:
    run = _first_command(
        *commands_for(bundle, INSPECT, RUN, embed("c"), embed("node"), PLOT, BENCHMARK, TRUSTED)
    )
    model = bundle.manifest.name

    def read(folder: Path, example: tuple[bytes, int]) -> Ended:
        (bundle_of(folder) / MANIFEST).write_bytes(seal(example[0]))
        return run(folder, example[1])

    return Subject(
        f"manifest of {model}",
        model,
        lambda f: st.tuples(documents(unsealed_json(bundle_of(f) / MANIFEST)), st.integers(0, 99)),
        read,
    )


def _data(bundle: Bundle, file: str) -> Subject:
    run = _first_command(
        *commands_for(bundle, PLOT, VALIDATE, embed("python"), BENCHMARK, TRUSTED, TORCHSCRIPT)
    )
    model = bundle.manifest.name

    def read(folder: Path, example: tuple[bytes, int]) -> Ended:
        (bundle_of(folder) / file).write_bytes(example[0])
        relist(bundle_of(folder))
        return run(folder, example[1])

    def strategy(folder: Path) -> st.SearchStrategy[Any]:
        document = json.loads((bundle_of(folder) / file).read_bytes())
        return st.tuples(documents(document), st.integers(0, 99))

    return Subject(f"{file} of {model}", model, strategy, read)


def _checkpoint(model: str) -> Subject:
    run = _first_command(("export", "--exported=made"), train_command(model))

    def read(folder: Path, example: tuple[bytes, int]) -> Ended:
        (checkpoint_of(folder) / CHECKPOINT).write_bytes(seal(example[0]))
        return run(folder, example[1])

    return Subject(
        f"checkpoint of {model}",
        model,
        lambda f: st.tuples(
            documents(unsealed_json(checkpoint_of(f) / CHECKPOINT)), st.integers(0, 99)
        ),
        read,
    )


def _bytes_of(name: str, model: str, file: str, *commands: tuple[str, ...]) -> Subject:
    """The bytes of a file cut, stretched and replaced; digests of a bundle are made right."""
    run = _first_command(*commands)

    def read(folder: Path, example: tuple[bytes, int]) -> Ended:
        (folder / file).write_bytes(example[0])
        if file.startswith("exported/"):
            relist(bundle_of(folder))
        if file.startswith("unfinished/"):
            reseal_snapshot(folder / file)
        return run(folder, example[1])

    return Subject(
        name,
        model,
        lambda f: st.tuples(spoilt((f / file).read_bytes()), st.integers(0, 99)),
        read,
    )


_TRAIN = ("train", "--cell=rnn", "--name=own", "--hidden-size=3", "--epochs=1", "--threads=1")


def _table(folder: Path, example: tuple[bytes, int]) -> Ended:
    (folder / "own.csv").write_bytes(example[0])
    train = (*_TRAIN, "--series=own.csv", "--window=4")
    run = ("run", "wave", "--history=own.csv", "--steps=2", "--seed=1")
    return _first_command(train, run, (*train, "--fill=linear"))(folder, example[1])


def _parquet(folder: Path, example: tuple[bytes, int]) -> Ended:
    """The same table as Parquet, where it can be one, else its bytes."""
    buffer = io.BytesIO()
    try:
        pd.read_csv(io.BytesIO(example[0])).to_parquet(buffer)
        data = buffer.getvalue()
    except Exception:  # what pandas refuses in so many ways is no table
        data = b"PAR1" + example[0] + b"PAR1"
    (folder / "own.parquet").write_bytes(data)
    train = (*_TRAIN, "--series=own.parquet", "--window=4")
    run = ("run", "wave", "--history=own.parquet", "--steps=2", "--seed=1")
    return _first_command(train, run)(folder, example[1])


def _text(folder: Path, example: str) -> Ended:
    (folder / "own.txt").write_bytes(example.encode(errors="surrogatepass") * 20)
    return _first_command((*_TRAIN, "--text=own.txt", "--window=4"))(folder, 0)


def _command_line(folder: Path, example: list[str]) -> Ended:
    return pipeline(example, folder, limit=_LIMIT, interrupt=True)


def _lines(model: str) -> Subject:
    return Subject(
        f"command lines on {model}", model, lambda f: command_lines(model), _command_line
    )


def subjects(originals: Originals) -> tuple[Subject, ...]:
    """All that is fuzzed."""
    bundles = [originals.bundle(model) for model in MODELS]
    files = ((bundle, name) for bundle in bundles for name in (GOLDEN_FILE, INITIAL_FILE))
    return (
        *map(_lines, MODELS),
        *map(_manifest, bundles),
        *map(_checkpoint, TRAINED),
        *(_data(bundle, name) for bundle, name in files if name in bundle.manifest.files),
        *_OF_FILES,
    )


_OF_FILES = (
    Subject("CSV", "wave", lambda f: st.tuples(tables(), st.integers(0, 99)), _table),
    Subject("Parquet", "wave", lambda f: st.tuples(tables(), st.integers(0, 99)), _parquet),
    Subject("text", "words", lambda f: st.text(max_size=60), _text),
    _bytes_of("weights to import", "wave", "weights.pt", ("import", "weights.pt", "--name=own")),
    _bytes_of(
        "an unfinished training",
        "wave",
        "unfinished/wave/training.safetensors",
        resume_command("wave"),
    ),
    _bytes_of(
        "graph of a loop",
        "words",
        "exported/words/onnx/generate.onnx",
        of_task("text", "words"),
        ("benchmark", "loops", "words"),
    ),
    _bytes_of(
        "weights of a bundle",
        "wave",
        "exported/wave/model.safetensors",
        ("embed", "wave", "c", "--out=new"),
        ("inspect", "--plot=picture.svg"),
    ),
    _bytes_of(
        "TorchScript of a bundle",
        "wave",
        "exported/wave/model.pt",
        ("validate", "--runtime=torchscript"),
    ),
    _bytes_of(
        "a pair of graphs",
        "wave",
        "exported/wave/onnx/model.onnx",
        (
            "validate",
            "--onnx=exported/wave/onnx/model.onnx",
            "--onnx=exported/wave/onnx/model.onnx",
        ),
    ),
)


@dataclass(frozen=True)
class Share:
    """Some examples of one subject, which hypothesis draws by a seed of their own."""

    subject: Subject
    examples: int
    seed: int

    def __str__(self) -> str:
        return self.subject.name


def judge(originals: Originals, share: Share) -> Judged:
    """Let hypothesis draw the examples of ``share``, and read each in a fresh copy.

    A fault does not end the search, since there may be others; the shortest of each is kept.
    """
    subject, findings = share.subject, []
    set_hypothesis_home_dir(originals.root / ".hypothesis")  # and not the working folder
    strategy = subject.strategy(originals.root / subject.model)

    @seed(share.seed)
    @settings(
        max_examples=share.examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def read(example: Any) -> None:
        with scratch() as place:
            folder = originals.copy(subject.model, place / "copy")
            ended = subject.read(folder, example)
            shutil.rmtree(folder, ignore_errors=True)
        if fault := fault_of(ended):
            case = f"{subject.name}: {example!r}"
            findings.append(Finding(case[:600], ended.command, fault))

    read()
    return share.examples, findings


def fuzz(originals: Originals, plan: Plan) -> Iterator[Count]:
    """Count examples over all subjects; half of them are command lines."""
    counted = Count("fuzz", "random input by hypothesis, with a code and one line for each")
    drawn = [
        subject
        for subject in subjects(originals)
        for _ in range(9 if subject.name.startswith("command") else 1)
    ]
    size = max(1, min(_SHARE, plan.count // len(drawn)))
    shares = [
        Share(
            drawn[number % len(drawn)],
            min(size, plan.count - start),
            number + plan.seed * 997,
        )
        for number, start in enumerate(range(0, plan.count, size))
    ]
    for share, (readings, findings) in spread(partial(judge, originals), shares, plan.jobs):
        counted.cases += share.examples - 1
        counted.add(readings, findings)
        yield counted
