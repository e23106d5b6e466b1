"""Processes of runtimes as forks of the command that asks for one: they import for 3 s too."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import IO, Any

PIPE = subprocess.PIPE


class ForkedWorker:
    """What ``pipeline.runtimes.isolated`` needs of a process that it has started."""

    def __init__(self, _command: list[str], *, stderr: IO[bytes], **_: Any) -> None:
        request, self.stdin = _pipe()
        answer_read, answer = os.pipe()
        self.stdout: IO[bytes] = os.fdopen(answer_read, "rb")
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            self.stdin.close()
            for number, descriptor in enumerate((request, answer, stderr.fileno())):
                os.dup2(descriptor, number)
            _work()
        os.close(request)
        os.close(answer)

    def kill(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, or the signal that ended it below zero."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork_workers() -> None:
    """Let runtimes of commands that are forked from here have forks for their processes."""
    from pipeline.runtimes import isolated

    shim = SimpleNamespace(Popen=ForkedWorker, PIPE=PIPE)
    isolated.subprocess = shim  # type: ignore[assignment, attr-defined]


def _pipe() -> tuple[int, IO[bytes]]:
    read, write = os.pipe()
    return read, os.fdopen(write, "wb")


def _work() -> None:
    """Be the worker, and never return to the command."""
    from pipeline.runtimes.worker import main

    code = 1
    try:
        sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
        main()
        code = 0
    finally:
        os._exit(code)
