"""Baselines of ``pipeline train``: measured once for each series, within a limit of time."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.contract.records import Baseline
    from pipeline.data import Series

TIME_LIMIT = 60.0  # seconds that a model may take for one target


class Baselines:
    """The baselines of every series that was asked for; each model runs in a process of its own.

    Lines on standard error tell what was left out, and why.
    """

    def __init__(self) -> None:
        self._measured: dict[tuple[str, int, int | None], tuple[Baseline, ...]] = {}

    def of(self, data: "Series") -> "tuple[Baseline, ...]":
        """The baselines of ``data``, which may be none."""
        key = (data.digest, data.season, data.horizon)
        if key not in self._measured:
            self._measured[key] = _measure(data)
        return self._measured[key]


def _measure(data: "Series") -> "tuple[Baseline, ...]":
    from pipeline.errors import PipelineError
    from pipeline.packages import how_to_install
    from pipeline.report.output import console, say
    from pipeline.report.progress import spinner
    from pipeline.runtimes.base import RuntimeProcessError
    from pipeline.runtimes.isolated import Worker
    from pipeline.train import baselines

    if not baselines.NAMES:
        return ()
    both = " and ".join(baselines.NAMES)
    if not baselines.are_installed():
        say(
            f"{both} are not scored, since statsforecast is not installed: "
            f"{how_to_install('statsforecast')}"
        )
        return ()
    if len(data.values) > baselines.LONGEST:
        say(
            f"{both} are not scored: the series has {len(data.values):,} steps, and they are for "
            f"{baselines.LONGEST:,} at most"
        )
        return ()
    measured = []
    for name in baselines.NAMES:
        worker = Worker(TIME_LIMIT)
        line = f"{name}: fitting at most {baselines.FITTED:,} steps, for {TIME_LIMIT:g} s at most"
        try:
            with spinner(console(), line):
                measured.append(baselines.baseline(name, data, worker.work))
        except (PipelineError, RuntimeProcessError, ImportError) as error:
            say(f"{name} is not scored: {str(error).partition(';')[0]}")
        finally:
            worker.close()
    return tuple(measured)
