"""TorchScript in C++."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.contract.files import TORCHSCRIPT_FILE
from pipeline.embed.target import CLIENT, CommandLine, Program, Target


def _build() -> Sequence[CommandLine]:
    """CMake, with the LibTorch that comes with PyTorch."""
    import torch

    where = f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"
    return (
        ("cmake", "-S", ".", "-B", "build", where),
        ("cmake", "--build", "build", "--parallel", "2"),
    )


TARGET = Target(
    name="cpp-libtorch",
    title="C++ with LibTorch",
    help="TorchScript in LibTorch, as the torch wheel brings it, from C++17",
    limits="TorchScript is code: it is handed on where tracing the weights of the bundle gives the "
    "same bytes, where the owner of --key has signed the bundle, or with --trust",
    clients=(Path(__file__).with_name(CLIENT),),
    file=TORCHSCRIPT_FILE,
    runs_code=True,
    programs=(Program("cmake"), Program("c++", "g++")),
    headers={"nlohmann/json.hpp": "nlohmann-json3-dev", "openssl/evp.h": "libssl-dev"},
    build=_build,
    replay=("build/replay",),
)
