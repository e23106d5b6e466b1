"""``python whole_road.py``: every stage of the road in this process and this folder.

The folder ``others`` in it holds bundles that were exported elsewhere, to be validated here. What
fails ends the process with its exit code, so a test can start it on whatever processor it likes.
"""

import os
import sys
from pathlib import Path

from pipeline.cli import main
from pipeline.validate import cases, free_run
from pipeline.validate.loops import cases as loops_cases

TEXT = "the cat sat on the mat; the dog sat on the cat. " * 12
SMALL = ("--hidden-size", "6", "--num-layers", "2", "--epochs", "1", "--window", "16")
RUNTIMES = ("torchscript", "onnxruntime", "openvino")


def pipeline(*arguments: str) -> None:
    """One command; it must succeed."""
    sys.argv = ["pipeline", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code:
            print(f"failed: {' '.join(arguments)}", file=sys.stderr)
            raise


def shorten_streams() -> None:
    """Let streams and free runs end soon."""
    cases.STREAM, cases.STREAM_PIECES = 600, 30
    cases.TIMES, cases.MIDDLE, cases.LONG = (1, 7, 50), 30, 60
    free_run.STEPS = loops_cases.LENGTH = 40


def road() -> None:
    """Train, export, validate, run and embed a series and a text."""
    Path("cat.txt").write_text(TEXT)
    Path("values.csv").write_text("".join(f"{value % 7}\n" for value in range(30)))
    pipeline("train", "sine-gru", "--length", "200", *SMALL)
    pipeline("train", "char-lstm", "--text", "cat.txt", *SMALL)
    pipeline("export")
    asked = [word for name in RUNTIMES for word in ("--runtime", name)]
    pipeline("validate", *asked)
    pipeline("validate", "--exported", "others", "--runtime", "torchscript")
    pipeline("run", "sine-gru", "--history", "values.csv", "--steps", "4", "--samples", "3")
    pipeline("run", "char-lstm", "--prompt", "the cat", "--length", "20", "--seed", "1")
    for model in ("sine-gru", "char-lstm"):
        pipeline("embed", model, "c", "--out", f"{model}-c")


if __name__ == "__main__":
    if os.environ.get("PROCESSORS") == "1":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    shorten_streams()
    road()
