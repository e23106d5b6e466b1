"""The rows of a validation for a graph with the loop inside."""

from collections.abc import Container, Iterator, Sequence

from pipeline.bundle import Bundle
from pipeline.bundle.write import loop_file
from pipeline.model import Network
from pipeline.runtimes.base import Absent, GraphRuntime, Runtime
from pipeline.runtimes.catalog import Runtimes
from pipeline.signature import Loop, Tolerance
from pipeline.validate.judge import judged_row
from pipeline.validate.loops.cases import Forecast, Generated, forecasts, generations
from pipeline.validate.loops.compare import compare_forecast, compare_text
from pipeline.validate.records import CaseRecord, Row


def looped_rows(
    bundle: Bundle, runtimes: Runtimes, failed: Container[tuple[str, str]] = ()
) -> Iterator[Row]:
    """One row for each runtime that can be asked; none if the bundle has no such graph.

    ``failed`` are names and providers of those that do not run the model itself.

    Raises:
        IntegrityError: the graph was changed.
    """
    manifest = bundle.manifest
    if manifest.loop is None:
        return
    network, source = bundle.network(), bundle.held_out()
    cases: list[Generated] | list[Forecast]
    if manifest.loop.name == "generate":
        cases = list(generations(network, source))
    else:
        cases = list(forecasts(network, source, manifest.spread or _no_spread(network)))
    for runtime in runtimes.open_loop(bundle, loop_file(manifest.loop)):
        if (runtime.name, runtime.provider) not in failed:
            yield loop_row(manifest.name, manifest.loop, runtime, cases)


def _no_spread(network: Network) -> list[float]:
    return [0.0] * network.head.out_features


def loop_row(
    model: str,
    contract: Loop,
    runtime: GraphRuntime | Absent,
    cases: Sequence[Generated] | Sequence[Forecast],
) -> Row:
    """One runtime through ``cases``."""

    def trial(_: Runtime, tolerance: Tolerance) -> Iterator[CaseRecord | str]:
        assert not isinstance(runtime, Absent)
        names = [spec.name for spec in contract.outputs]
        for case in cases:
            found = dict(zip(names, runtime.call(case.feeds), strict=True))
            if isinstance(case, Generated):
                record, tie = compare_text(found, case)
                if tie:
                    yield f"{case.name}: {tie}"
            else:
                record = compare_forecast(found, case)
            yield record

    return judged_row(model, runtime, trial).model_copy(update={"graph": contract.name})
