"""TorchScript in C++."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.contract.files import TORCHSCRIPT_FILE
from pipeline.embed.cpp import HEADERS, PROGRAMS, REPLAY, TOOLS, built_with
from pipeline.embed.target import CLIENT, CommandLine, Target


def _build() -> Sequence[CommandLine]:
    """CMake, with the LibTorch that comes with PyTorch."""
    import torch

    return built_with(f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}")


TARGET = Target(
    name="cpp-libtorch",
    title="C++ with LibTorch",
    help="TorchScript in LibTorch, as the torch wheel brings it, from C++17",
    limits="TorchScript is code: it is handed on where tracing the weights of the bundle gives the "
    "same bytes, where the owner of --key has signed the bundle, or with --trust",
    clients=(PROGRAMS, Path(__file__).with_name(CLIENT)),
    file=TORCHSCRIPT_FILE,
    runs_code=True,
    programs=TOOLS,
    headers=HEADERS,
    build=_build,
    replay=REPLAY,
)
