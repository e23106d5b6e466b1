"""The rows of a validation for the graph with the loop inside."""

from collections.abc import Container, Iterator, Sequence

from pipeline.bundle import Bundle
from pipeline.config import SeriesModel
from pipeline.contract.law import Tolerance
from pipeline.export.network.forecast import known_spread
from pipeline.network_tensors import Loop
from pipeline.runtimes.base import Absent, Runtime
from pipeline.runtimes.catalog import Runtimes
from pipeline.validate.judge import judged_row
from pipeline.validate.loops.cases import ForecastCase, TextCase, forecasts, generations
from pipeline.validate.loops.compare import compare_forecast, compare_text
from pipeline.validate.records import CaseRecord, Row
from pipeline.verify import TaskReference


def looped_rows(
    bundle: Bundle,
    runtimes: Runtimes,
    reference: TaskReference,
    failed: Container[tuple[str, str]] = (),
) -> Iterator[Row]:
    """One row for each runtime that runs the graph; none if the bundle has no such graph.

    ``reference`` is that of the network in the bundle, over its held-out data.
    ``failed`` are names and providers of runtimes whose row for the model failed; they are skipped.

    Raises:
        IntegrityError: the graph was changed.
    """
    manifest = bundle.manifest
    if manifest.loop is None:
        return
    cases: list[TextCase] | list[ForecastCase]
    if manifest.loop.name == "generate":
        cases = list(generations(reference))
    else:
        assert isinstance(reference.config, SeriesModel)
        spread = known_spread(manifest.spread, reference.config.targets)
        cases = list(forecasts(reference, spread))
    for runtime in runtimes.open_loop(bundle, manifest.loop.file):
        if (runtime.name, runtime.provider) not in failed:
            yield loop_row(manifest.name, manifest.loop, runtime, cases)


def loop_row(
    model: str,
    contract: Loop,
    runtime: Runtime | Absent,
    cases: Sequence[TextCase] | Sequence[ForecastCase],
) -> Row:
    """The row of one runtime, judged by ``cases``."""

    def trial(_: Runtime, tolerance: Tolerance) -> Iterator[CaseRecord | str]:
        assert not isinstance(runtime, Absent)
        names = [spec.name for spec in contract.outputs]
        for case in cases:
            found = dict(zip(names, runtime.call(case.feeds), strict=True))
            if isinstance(case, TextCase):
                record, tie = compare_text(found, case)
                if tie:
                    yield f"{case.name}: {tie}"
            else:
                record = compare_forecast(found, case)
            yield record

    return judged_row(model, runtime, trial).model_copy(update={"graph": contract.name})
