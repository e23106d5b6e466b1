"""A graph loaded and run once by a process of its own, since ONNX Runtime may crash on it."""

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping

from pipeline.contract.law import Array
from pipeline.errors import one_line
from pipeline.export.session import cpu_session

# With -m, Python would first look for modules in the working folder, whose files may be anyone's.
_START = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from pipeline.export.module import apart; apart.first_run()"
)


def fault_apart(file: bytes, inputs: Mapping[str, Array]) -> str:
    """What is wrong with an ONNX file at ``inputs``, in one line; nothing if it runs."""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", _START, *map(os.path.abspath, sys.path)],
        input=pickle.dumps((file, dict(inputs))),
        capture_output=True,
        check=False,
    )
    said = " ".join(done.stdout.decode(errors="replace").split())[:300]
    crash = f"its process ended by {done.returncode}"
    return (said or crash) if done.returncode else ""


def first_run() -> None:
    """Run the graph and its inputs that stand at the standard input; exit with 1 if that fails."""
    file, inputs = pickle.load(sys.stdin.buffer)  # from the process that started this one
    try:
        cpu_session(file).run(None, inputs)
    except Exception as error:  # its exceptions have no common base of their own
        print(one_line(error))
        sys.exit(1)
