"""A runtime in a process of its own: it may crash or hang, and the others still run."""

import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

from pipeline.contract.law import Array
from pipeline.runtimes.base import (
    CALLED,
    Facts,
    Result,
    Runtime,
    RuntimeProcessError,
)
from pipeline.threads import wait_asleep

TIME_LIMIT = 120.0  # seconds that a runtime has to open a model, or for one call

# With -m, modules would be looked for in the working folder first, which may be a stranger's.
_START = "import sys; sys.path[:] = sys.argv[1:]; from pipeline.runtimes.worker import main; main()"


class Worker:
    """A process that runs one model at a time, started anew after it has died.

    ``time_limit`` is in seconds, for one call or answer of the runtime.
    """

    def __init__(self, time_limit: float = TIME_LIMIT) -> None:
        self.time_limit = time_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[Any] = queue.Queue()
        self._said: IO[bytes] | None = None

    def open(self, opener: Callable[[], Runtime], weights: int = 0) -> "Isolated":
        """What ``opener``, which is pickled, opens in the process; its model has so many weights.

        Raises:
            UnavailableError, ImportError: the runtime is not there, or not whole.
            RuntimeProcessError: it cannot open the model, its process ended, or it hangs.
        """
        return Isolated(self, self.ask("open", opener, weights))

    def work(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What ``function`` of a module, which is pickled, gives in the process.

        Raises:
            PipelineError, ImportError: it raises one.
            RuntimeProcessError: it raises another error, its process ended, or it hangs.
        """
        found: Result = self.ask("work", function, *arguments)
        return found

    def ask(self, method: str, *arguments: Any) -> Any:
        """What ``method`` of the runtime answers; raises as :meth:`open` does."""
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            pickle.dump((method, arguments), process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            while (reply := self._answers.get(timeout=self.time_limit)) == CALLED:
                pass
        except queue.Empty:
            self.close()
            raise RuntimeProcessError(
                f"hangs: no answer within {self.time_limit:g} s, and was ended; "
                "--time-limit gives it longer"
            ) from None
        except OSError:  # it died before it had read the request
            reply = None
        if reply is None:
            raise RuntimeProcessError(self._last_words())
        answer, error = reply
        if error is not None:
            raise error
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._answers = queue.Queue()
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # of NumPy, whose threads spin
        wait_asleep(environment)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-W", "ignore", "-c", _START, *map(os.path.abspath, sys.path)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is for the command, which ends it
        )
        assert self._process.stdout is not None
        listener = (self._process.stdout, self._answers)
        threading.Thread(target=_listen, args=listener, daemon=True).start()
        return self._process

    def _last_words(self) -> str:
        """How the process ended, and the last line that it wrote."""
        process, said = self._process, self._said
        assert process is not None
        assert said is not None
        code = process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        said.seek(0)
        lines = said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        self.close()
        return f"crashed with {how}" + (f": {last[:200]}" if last else "")

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in filter(None, (process.stdin, process.stdout, self._said)):
                with suppress(OSError):  # a request that it never read
                    stream.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _listen(stream: IO[bytes], answers: "queue.Queue[Any]") -> None:
    """Pass on every answer, and None when there will be no more."""
    try:
        while True:
            answers.put(pickle.load(stream))
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        answers.put(None)


class Isolated(Runtime):
    """The runtime that a worker has opened; gone when the worker opens the next."""

    def __init__(self, worker: Worker, facts: Facts) -> None:
        self.worker = worker
        self.format, self.name = facts.format, facts.name
        self.provider, self.home = facts.provider, facts.home
        self.precision, self.note = facts.precision, facts.note

    def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """What ``work`` gives for the runtime and ``arguments``, in its process."""
        found: Result = self.worker.ask("do", work, *arguments)
        return found

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of whatever the file holds."""
        found: list[Array] = self.worker.ask("call", inputs)
        return found

    def placement(self) -> dict[str, str]:
        """Where the recurrent nodes ran."""
        found: dict[str, str] = self.worker.ask("placement")
        return found
