"""ONNX Runtime in Node.js."""

from pathlib import Path

from pipeline.contract.files import ONNX_FILE
from pipeline.embed.javascript import INSTALL, MODULES, NODE, NPM, PROGRAMS, REPLAY
from pipeline.embed.target import CLIENT, Target

TARGET = Target(
    name="node",
    title="Node.js",
    help="ONNX Runtime from npm",
    clients=(MODULES, PROGRAMS, Path(__file__).with_name(CLIENT)),
    file=ONNX_FILE,
    loops=("generate",),
    programs=(NODE, NPM),
    build=lambda: (INSTALL,),
    replay=REPLAY,
)
