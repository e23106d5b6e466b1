"""What small weights and integers save and cost: generated C of a bundle and of its variants."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.benchmark.compiling import c_compiler, compile_c, ran
from pipeline.benchmark.footprint import (
    ARM,
    PROCESSORS,
    VALGRIND,
    Footprint,
    footprint,
    instructions,
    is_there,
)
from pipeline.bundle.variant_network import NetworkToStore
from pipeline.config import Record
from pipeline.contract import Bundle
from pipeline.contract.files import MANIFEST_FILE, ONNX_FILE
from pipeline.embed.c_integer.floats import CalledWithFloats
from pipeline.embed.c_integer.source import integer_network
from pipeline.embed.targets import find_target
from pipeline.lookup import model_name
from pipeline.variants.scores import Scored, Scores, counted_loss, losses

FLOATS, INTEGERS = "c", "c-integer"
_IN_INTEGERS = ("float32", "int8")  # weights of which C in integers is measured
_ROUNDS, _STEPS = 20, 500  # of one run of a program
_TURNS = 3  # of all programs; the fastest counts, since other work only slows down


class VariantCost(Record):
    """The cost of one target with one type of weights; bytes, and microseconds of one step.

    ``flash`` and ``ram`` are by processor, and empty without Arm's compiler; ``instructions`` is
    null without valgrind. ``losses`` are shares by which scores are worse than in float32.
    """

    model: str
    weights: str
    target: str
    onnx: int
    flash: dict[str, int]
    ram: dict[str, int]
    microseconds: float
    instructions: float | None
    losses: dict[str, float]

    @property
    def worst_loss(self) -> float:
        """The largest of the losses, but for that along a long stream."""
        return counted_loss(self.losses)


@dataclass(frozen=True)
class _Built:
    """A program of one target, made of a bundle, and where its source lies."""

    bundle: Bundle
    weights: str
    target: str
    home: Path
    program: Path


def measure_variants(
    models: Sequence[Sequence[Bundle]], say: Callable[[str], None]
) -> Iterator[VariantCost]:
    """The costs of every bundle and of the variants behind it; ``say`` what is done.

    Raises:
        UsageError: a bundle is of a module, or fixed point does not hold it.
        UnavailableError: a compiler is not there, or fails.
    """
    compiler = c_compiler()
    with tempfile.TemporaryDirectory(prefix="pipeline-variants-") as folder:
        for bundles in models:
            name = model_name(bundles[0].folder, MANIFEST_FILE)
            say(f"building {name}")
            built = [
                _build(bundle, weights, target, compiler, Path(folder) / name)
                for bundle in bundles
                for weights, target in _kinds(bundle)
            ]
            say(f"measuring {name}")
            turns = [[_nanoseconds(item.program) for item in built] for _ in range(_TURNS)]
            scored = NetworkToStore(bundles[0]).scored
            float32 = scored.of(scored.reference.model)
            for item, times in zip(built, zip(*turns, strict=True), strict=True):
                say(f"counting {name}, {item.weights}, {item.target}")
                yield _cost(name, item, min(times) / 1000, _losses(item, scored, float32))


def _kinds(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """The type of the weights, and each target that is measured with it."""
    weights = bundle.manifest.variant.weights if bundle.manifest.variant else "float32"
    yield weights, FLOATS
    if weights in _IN_INTEGERS:
        yield weights, INTEGERS


def _build(bundle: Bundle, weights: str, target: str, compiler: str, folder: Path) -> _Built:
    generated = find_target(target).generated
    assert generated is not None
    folder.mkdir(exist_ok=True)
    home = folder / f"{weights}-{target}"
    files = generated(bundle)
    program = compile_c(files, "step", home, [compiler], ["c_step.c"])
    return _Built(bundle, weights, target, home, program)


def _nanoseconds(program: Path) -> float:
    return float(ran([str(program), str(_ROUNDS), str(_STEPS)]).stdout)


def _cost(name: str, built: _Built, microseconds: float, lost: Scores) -> VariantCost:
    sizes: dict[str, Footprint] = {}
    if is_there(ARM):
        sizes = {processor: footprint(built.home, processor) for processor in PROCESSORS}
    return VariantCost(
        model=name,
        weights=built.weights,
        target=built.target,
        onnx=built.bundle.manifest.files[ONNX_FILE].bytes,
        flash={processor: size.flash for processor, size in sizes.items()},
        ram={processor: size.ram for processor, size in sizes.items()},
        microseconds=microseconds,
        instructions=instructions(built.program) if is_there(VALGRIND) else None,
        losses=lost,
    )


def _losses(built: _Built, scored: Scored, float32: Scores) -> Scores:
    """Those of the weights from the manifest; those of integers are measured on the same data.

    ``float32`` are the scores of the float32 model there.
    """
    variant = built.bundle.manifest.variant
    if built.target == INTEGERS:
        model = CalledWithFloats(integer_network(built.bundle))
        return losses(scored.of(model), float32)
    if variant is None:
        return {}
    scores = {score.name: score.of(variant.rounding) for score in variant.scores}
    known = {name: score for name, score in scores.items() if score is not None}
    return losses(known, {score.name: score.float32 for score in variant.scores})
