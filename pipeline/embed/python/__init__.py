"""ONNX Runtime in Python."""

import sys
from pathlib import Path

from pipeline.contract.files import ONNX_FILE
from pipeline.embed.target import CLIENT, Target

TARGET = Target(
    name="python",
    title="Python",
    help="ONNX Runtime, one file of Python without torch",
    limits="It needs numpy and onnxruntime, from pip",
    clients=(Path(__file__).with_name(CLIENT),),
    file=ONNX_FILE,
    loops=("generate",),
    replay=(sys.executable, "replay.py"),
)
