"""The main program of the process that runs one runtime at a time.

Requests arrive as pickles on standard input, and answers leave as pickles on standard output. What
the runtime itself prints to standard output is redirected to standard error.
"""

import os
import pickle
import sys
import time
from collections.abc import Mapping
from typing import Any, BinaryIO

from pipeline.contract.law import Array
from pipeline.errors import PipelineError, one_line
from pipeline.runtimes.base import CALLED, Facts, Runtime, RuntimeProcessError
from pipeline.threads import use_threads

_SELDOM = 0.25  # least seconds between two signs of life


def main() -> None:
    """Answer until there are no more requests: open a runtime, call a method of it, or work."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    runtime: Runtime | None = None
    while True:
        try:
            method, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            if method == "open":
                opener, weights = arguments
                use_threads(weights)
                runtime = opener()
                assert runtime is not None
                answer: Any = Facts.of(runtime)
            elif method == "work":
                function, *given = arguments
                answer = function(*given)
            elif method == "do":
                assert runtime is not None
                work, *given = arguments
                answer = work(_Heard(runtime, answers), *given)
            else:
                answer = getattr(runtime, method)(*arguments)
        except PipelineError as error:
            _send(answers, (None, error))
        except ImportError as error:
            _send(answers, (None, ImportError(str(error))))
        except Exception as error:  # the parent process may not know its class
            _send(answers, (None, RuntimeProcessError(one_line(error))))
        else:
            _send(answers, (answer, None))


class _Heard(Runtime):
    """A runtime whose calls send signs of life to the process that waits for the answer."""

    def __init__(self, runtime: Runtime, answers: BinaryIO) -> None:
        facts = Facts.of(runtime)
        self.format, self.name = facts.format, facts.name
        self.provider, self.home = facts.provider, facts.home
        self.runtime, self.answers = runtime, answers
        self.heard = time.monotonic()

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the runtime, after a sign of life if the last one is some time ago."""
        if time.monotonic() - self.heard > _SELDOM:
            _send(self.answers, CALLED)
            self.heard = time.monotonic()
        return self.runtime.call(inputs)


def _send(answers: BinaryIO, answer: tuple[Any, Exception | None] | str) -> None:
    pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
    answers.flush()
