"""The generated C as a WebAssembly module."""

from pathlib import Path

from pipeline.embed.c import LIMITS, generated
from pipeline.embed.javascript import MODULES, NODE, PROGRAMS, REPLAY
from pipeline.embed.target import CLIENT, Program, Target

MODULE = "model.wasm"  # what the build makes
COMPILERS = (Program("make"), Program("clang"), Program("wasm-ld", "lld"))

TARGET = Target(
    name="wasm",
    title="WebAssembly",
    help="The C of the target c as a WebAssembly module, a few kilobytes and the weights, in "
    "Node.js or a browser",
    limits=LIMITS,
    clients=(MODULES, PROGRAMS, Path(__file__).with_name(CLIENT)),
    generated=generated,
    programs=(*COMPILERS, NODE),
    build=lambda: (("make", "--silent"),),
    replay=REPLAY,
)
