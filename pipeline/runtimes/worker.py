"""What goes on in the process in which one runtime at a time runs.

Requests come as pickles on standard input and are answered as pickles on standard output, which
is the runtime's no more: what it prints there goes to standard error.
"""

import os
import pickle
import sys
from typing import Any, BinaryIO

from pipeline.errors import PipelineError, one_line
from pipeline.runtimes.base import Facts, Runtime, RuntimeProcessError
from pipeline.threads import use_threads


def main() -> None:
    """Answer until there are no more requests: open a runtime, or call a method of it."""
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
            else:
                answer = getattr(runtime, method)(*arguments)
        except PipelineError as error:
            _send(answers, (None, error))
        except ImportError as error:
            _send(answers, (None, ImportError(str(error))))
        except Exception as error:  # its class may not exist where the answer is read
            _send(answers, (None, RuntimeProcessError(one_line(error))))
        else:
            _send(answers, (answer, None))


def _send(answers: BinaryIO, answer: tuple[Any, Exception | None]) -> None:
    pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
    answers.flush()
