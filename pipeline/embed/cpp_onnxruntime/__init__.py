"""ONNX Runtime in C++."""

import sys
from pathlib import Path

from pipeline.contract.files import ONNX_FILE
from pipeline.embed.cpp import HEADERS, PROGRAMS, REPLAY, TOOLS, built_with
from pipeline.embed.target import CLIENT, Target

TARGET = Target(
    name="cpp-onnxruntime",
    title="C++ with ONNX Runtime",
    help="ONNX Runtime from C++17, by its C interface: the library of any release, also that of "
    "the Python package, and no headers",
    limits="It opens the library as Linux and macOS do",
    clients=(PROGRAMS, Path(__file__).with_name(CLIENT)),
    file=ONNX_FILE,
    loops=("generate",),
    programs=TOOLS,
    headers=HEADERS,
    build=lambda: built_with(f"-DPYTHON={sys.executable}"),
    replay=REPLAY,
)
