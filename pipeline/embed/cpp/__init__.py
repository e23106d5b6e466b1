"""What targets in C++ share: the bundle and its tensors, and the two programs."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.embed.target import CommandLine, Program

PROGRAMS = Path(__file__).with_name("programs")
"""All but ``CMakeLists.txt`` and ``runtime.cpp``, which is what calls the library of a target."""

TOOLS = (Program("cmake"), Program("c++", "g++"))
HEADERS = {"nlohmann/json.hpp": "nlohmann-json3-dev", "openssl/evp.h": "libssl-dev"}
REPLAY = ("build/replay",)


def built_with(where: str) -> Sequence[CommandLine]:
    """The commands of CMake; ``where`` is the option that says where the runtime is."""
    return (
        ("cmake", "-S", ".", "-B", "build", where),
        ("cmake", "--build", "build", "--parallel", "2"),
    )
