"""Commands of the pipeline in forks of this process, in which all libraries are loaded already.

A fork costs 20 ms where a new process would import for 3 s. What runs in it is the command line
itself, from ``main`` on, with its own standard streams, folder, session and limits.
"""

import gc
import os
import resource
import runpy
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from torture.workers import fork_workers

GIGABYTE = 2**30
TIME_LIMIT = 20.0  # seconds
MEMORY = 6 * GIGABYTE  # of address space; a fork begins with about 1
_AFTER_INTERRUPT = 10.0  # seconds until a command that was interrupted must have ended
_READ = 200_000  # characters of each stream that are kept


@dataclass(frozen=True)
class Ended:
    """What a command left: exit code (below zero: the signal that ended it) and what it said."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float
    hung: bool = False
    interrupted: bool = False

    @property
    def command(self) -> str:
        """The command line, as it is shown to people."""
        return " ".join(("pipeline", *self.arguments))[:300]


def load_everything() -> None:
    """Import what commands import, on one thread each, so that forks have it."""
    for pool in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{pool}_NUM_THREADS", "1")
    # Pages, charts and tables import these when they are needed first.
    import matplotlib.figure
    import onnx.reference
    import onnxscript
    import pandas
    import torch

    import pipeline.benchmark.clients
    import pipeline.benchmark.loops
    import pipeline.cli
    import pipeline.embed.replay
    import pipeline.importer
    import pipeline.report.html
    import pipeline.report.plot
    import pipeline.run.chart
    import pipeline.validate
    import pipeline.validate.foreign  # noqa: F401

    torch.set_num_threads(1)
    os.environ["PIPELINE_DEBUG"] = "1"  # a fault of the code is a traceback, with its place
    fork_workers()
    assert all((matplotlib.figure, onnx.reference, onnxscript, pandas))


def pipeline(arguments: Sequence[str], folder: Path, **options: object) -> Ended:
    """Run ``pipeline`` with ``arguments`` in ``folder``; options as of :func:`fork`."""

    def command() -> None:
        from pipeline.cli import main

        sys.argv = ["pipeline", *arguments]
        main()

    return fork(command, folder, tuple(arguments), **options)  # type: ignore[arg-type]


def program(file: str, folder: Path, arguments: Sequence[str] = (), **options: object) -> Ended:
    """Run a Python program in ``folder`` as ``python file`` would; options as of :func:`fork`."""

    def command() -> None:
        sys.argv = [file, *arguments]
        sys.path.insert(0, str(folder))
        runpy.run_path(file, run_name="__main__")

    return fork(command, folder, ("python", file, *arguments), **options)  # type: ignore[arg-type]


def fork(
    call: Callable[[], None],
    folder: Path,
    arguments: tuple[str, ...],
    *,
    limit: float = TIME_LIMIT,
    memory: int | None = MEMORY,
    stdin: bytes = b"",
    kill_after: float | None = None,
    interrupt: bool = False,
    prepare: Callable[[], None] | None = None,
) -> Ended:
    """Let a fork do ``call`` in ``folder``; what is left of it after ``limit`` seconds is killed.

    On a busy machine it gets as many times longer as there are more processes than processors.
    ``kill_after`` kills it that many seconds after its start, on purpose. ``interrupt`` sends
    SIGINT at the limit, as Ctrl-C would, and kills only what does not end by that. ``prepare`` runs
    in the fork, before the call.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            started = time.monotonic()
            child = os.fork()
            if child == 0:
                _be_the_child(call, folder, (given, out, err), memory, prepare)
        ended = _wait(child, limit * _load() if kill_after is None else kill_after)
        hung = kill_after is None and not ended
        interrupted = hung and interrupt
        if interrupted:
            os.kill(child, signal.SIGINT)
            hung = not _wait(child, _AFTER_INTERRUPT)
        _kill(child)
        _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - started
        said, complained = _text(out), _text(err)
    code = os.waitstatus_to_exitcode(status)
    return Ended(arguments, code, said, complained, seconds, hung, interrupted)


def _be_the_child(
    call: Callable[[], None],
    folder: Path,
    streams: tuple[IO[bytes], IO[bytes], IO[bytes]],
    memory: int | None,
    prepare: Callable[[], None] | None,
) -> None:
    """What happens in the fork; it never returns to the code of the suite."""
    code = 1
    try:
        os.setsid()
        gc.callbacks.clear()  # hypothesis has one, which is of no use here
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, stream in enumerate(streams):
            os.dup2(stream.fileno(), number)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        if prepare is not None:
            prepare()
        call()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            code = 120  # as the interpreter itself ends where standard output is lost
        os._exit(code)


def _load() -> float:
    """How many processes want each processor, at least one."""
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def _wait(child: int, seconds: float) -> bool:
    """Whether ``child`` ended within ``seconds``."""
    descriptor = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))
    finally:
        os.close(descriptor)


def _kill(child: int) -> None:
    """Kill ``child``, which is not waited for yet, and whatever it has started in its session."""
    for kill in (os.kill, os.killpg):
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:  # it has not come to be a leader of a session yet, or is gone
            continue


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read(_READ).decode(errors="replace")
