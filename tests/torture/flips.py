"""Single bits flipped in files of ours, each read by every command that uses the file.

Seen is a refusal as malformed, unsafe, changed or not PyTorch's (3 to 6) in one line. What a
command makes anew by itself it may also heal: exit 0, and the file is right afterwards.
"""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from pipeline.contract import Bundle
from torture import commands
from torture.commands import Asked, commands_for, embed, pair
from torture.forked import Ended, pipeline
from torture.originals import MODELS, Originals, scratch
from torture.projects import embed_again, embed_anew, example, replay, sums
from torture.spread import Count, Finding, Judged, Plan, spread
from torture.verdict import fault_of, unseen

Heals = Callable[[bytes, Path, Path], str]  # original bytes, file, folder → what is not right


@dataclass(frozen=True)
class Flip:
    """One bit of one file of one model."""

    model: str
    file: str
    byte: int
    bit: int

    def __str__(self) -> str:
        return f"{self.model}/{self.file} byte {self.byte} bit {self.bit}"


@dataclass(frozen=True)
class Reader:
    """What uses a file, of the models that it applies to.

    ``heals`` tells whether the file is right again, where the reader makes it anew.
    """

    run: Callable[[Originals, Path, Flip], Ended]
    heals: Heals | None = None
    applies: Callable[[Bundle], bool] = lambda bundle: True


def _command(asked: Asked, heals: Heals | None = None, limit: float = 60.0) -> Reader:
    """A command line, where there is one for such a model."""

    def run(originals: Originals, folder: Path, flip: Flip) -> Ended:
        (command,) = commands_for(originals.bundle(flip.model), asked)
        return pipeline(command, folder, limit=limit)

    return Reader(run, heals, lambda bundle: bool(commands_for(bundle, asked)))


def _project(read: Callable[..., Ended], heals: Heals | None = None) -> Reader:
    """What reads the project that the file belongs to."""

    def run(originals: Originals, folder: Path, flip: Flip) -> Ended:
        target = flip.file.split("/")[1]
        return read(originals, folder / "projects" / target, flip.model)

    return Reader(run, heals)


def _same(original: bytes, file: Path, folder: Path) -> str:
    if not file.is_file():
        return "the file is gone"
    return "" if file.read_bytes() == original else "the file is not as it was made first"


def _valid(original: bytes, file: Path, folder: Path) -> str:
    """``validation.json`` has times in it, so it is never the same: its verdict must be."""
    if not file.is_file():
        return "the file is gone"
    was, now = json.loads(original), json.loads(file.read_bytes())
    rows = [[row["status"] for row in found["rows"]] for found in (was, now)]
    if rows[0] != rows[1]:
        return f"the rows were {rows[0]} and are {rows[1]}"
    return fault_of(pipeline(("inspect",), folder))


INSPECT, PLOT, VALIDATE, RUN, BENCHMARK, EXPORT, TORCHSCRIPT, PAIR = map(
    _command,
    (
        *(commands.INSPECT, commands.PLOT, commands.VALIDATE, commands.RUN, commands.BENCHMARK),
        *(commands.EXPORT, pair("torchscript", "onnx"), pair("onnx", "torchscript")),
    ),
)
EMBED_C, EMBED_PYTHON, EMBED_NODE, EMBED_CPP = (
    _command(embed(target)) for target in ("c", "python", "node", "cpp-libtorch")
)
EXPORT_ANEW = _command(commands.EXPORT, heals=_same)
TRAIN_ANEW = _command(commands.TRAIN, heals=_same)
VALIDATE_ANEW = _command(commands.VALIDATE, heals=_valid, limit=120)
RESUME = _command(commands.RESUME)

# Every file of a project is proven by its list of digests, and made anew by embed --force.
PROJECT = (_project(sums), _project(embed_again), _project(embed_anew, _same))

# The first pattern that fits a file says which commands use it, and how often it is drawn.
USES: tuple[tuple[str, int, tuple[Reader, ...]], ...] = (
    (
        "exported/*/manifest.json",
        6,
        (INSPECT, PLOT, VALIDATE, RUN, EMBED_C, EMBED_PYTHON, EMBED_NODE, BENCHMARK, EXPORT_ANEW),
    ),
    ("exported/*/validation.json", 2, (VALIDATE_ANEW,)),
    ("exported/*/initial.json", 3, (INSPECT, VALIDATE, EMBED_PYTHON, EMBED_NODE, EXPORT_ANEW)),
    ("exported/*/golden.json", 3, (INSPECT, PLOT, VALIDATE, EMBED_PYTHON, EMBED_C, EXPORT_ANEW)),
    ("exported/*/model.safetensors", 2, (INSPECT, PLOT, VALIDATE, EMBED_C, EXPORT_ANEW)),
    ("exported/*/model.pt", 3, (INSPECT, VALIDATE, EMBED_CPP, TORCHSCRIPT, PAIR, EXPORT_ANEW)),
    (
        "exported/*/onnx/model.onnx",
        2,
        (INSPECT, VALIDATE, EMBED_PYTHON, EMBED_NODE, BENCHMARK, EXPORT_ANEW),
    ),
    ("exported/*/onnx/generate.onnx", 2, (INSPECT, VALIDATE, RUN, EMBED_NODE, BENCHMARK)),
    ("exported/*/onnx/forecast.onnx", 2, (INSPECT, VALIDATE, RUN, BENCHMARK, EXPORT_ANEW)),
    ("exported/*/*", 1, (INSPECT, VALIDATE, EXPORT_ANEW)),
    ("checkpoints/*/checkpoint.json", 8, (EXPORT, TRAIN_ANEW)),
    ("checkpoints/*/weights-*", 3, (EXPORT, TRAIN_ANEW)),
    ("unfinished/*/training.safetensors", 8, (RESUME,)),
    ("projects/*/model/onnx/generate.onnx", 2, (_project(example), *PROJECT)),
    ("projects/*/model/*", 2, (_project(replay), *PROJECT)),
    ("projects/*/SHA256SUMS", 3, PROJECT[1:]),
    ("projects/*", 1, PROJECT),
)


def readers_of(file: str, bundle: Bundle) -> tuple[int, tuple[Reader, ...]]:
    """How often a file beside ``bundle`` is drawn, and what uses it; nothing for no artefact."""
    for name, often, readers in USES:
        if fnmatch(file, name):
            return often, tuple(reader for reader in readers if reader.applies(bundle))
    return 0, ()


def _is_artefact(file: Path) -> bool:
    return not any(part.startswith(".") and part.endswith(".lock") for part in file.parts)


def draw(originals: Originals, count: int, seed: int) -> Iterator[Flip]:
    """``count`` flips over all files that a command uses, the important ones more often."""
    chance = random.Random(seed)
    places = []
    for model in MODELS:
        root = originals.root / model
        for path in sorted(root.rglob("*")):
            file = path.relative_to(root)
            weight, readers = readers_of(file.as_posix(), originals.bundle(model))
            if path.is_file() and path.stat().st_size and _is_artefact(file) and readers:
                places += [(model, file.as_posix(), path.stat().st_size)] * weight
    chance.shuffle(places)
    for number in range(count):  # every place in turn
        model, name, size = places[number % len(places)]
        yield Flip(model, name, chance.randrange(size), chance.randrange(8))


def judge(originals: Originals, plan: Plan, flip: Flip) -> Judged:
    """Let every command that uses the file read it with the flip, each in a fresh copy."""
    findings = []
    readers = plan.some(readers_of(flip.file, originals.bundle(flip.model))[1], flip)
    original = (originals.root / flip.model / flip.file).read_bytes()
    changed = bytearray(original)
    changed[flip.byte] ^= 1 << flip.bit
    with scratch() as place:
        for reader in readers:
            folder = originals.copy(flip.model, place / "copy")
            (folder / flip.file).write_bytes(changed)
            ended = reader.run(originals, folder, flip)
            if reader.heals is not None and ended.code == 0:
                wrong = reader.heals(original, folder / flip.file, folder)
                fault = fault_of(ended) or (wrong and f"unseen: exit code 0, and {wrong}")
            else:
                fault = unseen(ended)
            if fault:
                findings.append(Finding(str(flip), ended.command, fault))
            shutil.rmtree(folder)
    return len(readers), findings


def flips(originals: Originals, plan: Plan) -> Iterator[Count]:
    """Count flips; what was counted so far is given after each."""
    counted = Count("flips", "single-bit flips, each read by every command that uses the file")
    cases = list(draw(originals, plan.count, plan.seed))
    for _, (readings, findings) in spread(partial(judge, originals, plan), cases, plan.jobs):
        counted.add(readings, findings)
        yield counted
