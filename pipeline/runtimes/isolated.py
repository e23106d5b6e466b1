"""A runtime in a process of its own, so that others still run if it crashes or hangs."""

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
from pathlib import Path
from typing import IO, Any

from pipeline.contract.law import Array
from pipeline.runtimes.base import CALLED, Facts, Result, Runtime, RuntimeProcessError
from pipeline.threads import wait_asleep

TIME_LIMIT = 120.0  # seconds that opening a model, or one call, may take

# With -m, Python would first look for modules in the working folder, whose files may be anyone's.
_START = "import sys; sys.path[:] = sys.argv[1:]; from pipeline.runtimes.worker import main; main()"


class Worker:
    """A process that runs one model at a time; it is started again after it has ended.

    ``time_limit`` is in seconds, for one answer of the process, which finds ``packages`` of a
    folder before those of this environment.
    """

    def __init__(self, time_limit: float = TIME_LIMIT, packages: Path | None = None) -> None:
        self.time_limit = time_limit
        self._path = [str(packages)] if packages else []
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[Any] = queue.Queue()
        self._said: IO[bytes] | None = None

    def open(self, opener: Callable[[], Runtime], weights: int = 0) -> "Isolated":
        """Call ``opener``, which is pickled, in the process, and return the runtime it opens.

        ``weights`` is the size of the model, which decides how many threads PyTorch gets.

        Raises:
            UnavailableError, ImportError: the runtime is not installed, or incompletely.
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
        """Call ``method`` of the runtime in the process; raises as :meth:`open` does."""
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
                f"hangs: no answer within {self.time_limit:g} s, so its process was ended; "
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
        # The threads of NumPy's OpenBLAS spin while they wait, so it gets one.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        wait_asleep(environment)
        path = [*self._path, *sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-W", "ignore", "-c", _START, *map(os.path.abspath, path)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C interrupts the command, which then ends the process
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
                with suppress(OSError):  # a request that was never read
                    stream.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _listen(stream: IO[bytes], answers: "queue.Queue[Any]") -> None:
    """Put every answer in the queue, and None when the process has ended."""
    try:
        while True:
            answers.put(pickle.load(stream))
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        answers.put(None)


class Isolated(Runtime):
    """The runtime that a worker has opened; it is usable until the worker opens the next."""

    def __init__(self, worker: Worker, facts: Facts) -> None:
        self.worker = worker
        self.format, self.name = facts.format, facts.name
        self.provider, self.home = facts.provider, facts.home
        self.precision, self.note = facts.precision, facts.note

    def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """The result of ``work(runtime, *arguments)``, computed in the process."""
        found: Result = self.worker.ask("do", work, *arguments)
        return found

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the model, in the process."""
        found: list[Array] = self.worker.ask("call", inputs)
        return found

    def placement(self) -> dict[str, str]:
        """Where the recurrent nodes ran."""
        found: dict[str, str] = self.worker.ask("placement")
        return found
