"""The time of one step of a bundle in every embedded target, and in ONNX Runtime from Python."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from pipeline.bundle import Bundle
from pipeline.config import Record
from pipeline.embed.replay import Workshop, replay
from pipeline.embed.targets import find_target
from pipeline.errors import ParityError, UsageError
from pipeline.trust import Trust
from pipeline.validate import Replay

BASIS = "python"  # what the others are compared with
_ROUNDS = 3  # of every target, in turns; the fastest counts, since other work only slows down


class ClientTime(Record):
    """Microseconds of one step, batch 1, in a target, and in Python."""

    model: str
    target: str
    runtime: str
    microseconds: float
    python: float

    @property
    def ratio(self) -> float:
        """The time in the target as a share of the time in Python."""
        return self.microseconds / self.python


def measure_clients(
    bundles: Sequence[Bundle], targets: Sequence[str], say: Callable[[str], None], trust: Trust
) -> Iterator[ClientTime]:
    """Build each bundle for all ``targets``, and let them replay in turns; ``say`` what is done.

    Raises:
        UnsafeError: a target would run code of a bundle that ``trust`` does not reach.
        UnavailableError: a target cannot be built here.
        ParityError: a replay did not end, or its numbers do not match.
    """
    names = list(dict.fromkeys([BASIS, *targets]))
    for bundle in bundles:
        for name in names:
            find_target(name).require_trusted(bundle, trust)
    with ExitStack() as stack:
        workshops = [stack.enter_context(Workshop(name, trust=trust)) for name in names]
        for bundle in bundles:
            model = bundle.manifest.name
            ready = []
            for workshop in workshops:
                say(f"building {model} for {workshop.name}")
                try:
                    workshop.build(bundle)
                except UsageError as error:  # a model that the target cannot run
                    say(str(error))
                    continue
                ready.append(workshop)
            fastest: dict[str, Replay] = {}
            for _ in range(_ROUNDS):
                for workshop in ready:
                    say(f"measuring {model} in {workshop.name}")
                    found = replay(workshop.target, workshop.folder)
                    if isinstance(found, str) or not found.passed:
                        raise ParityError(f"{model} in {workshop.name} does not replay: {found}")
                    before = fastest.get(workshop.name, found)
                    fastest[workshop.name] = min(before, found, key=_time)
            for name, found in fastest.items():
                yield ClientTime(
                    model=model,
                    target=name,
                    runtime=found.runtime,
                    microseconds=_time(found),
                    python=_time(fastest[BASIS]),
                )


def _time(found: Replay) -> float:
    return found.microseconds_per_step
