"""What a bundle can be embedded in: the files of each project, and the commands that run it."""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.contract import Bundle
from pipeline.contract.manifest import ONNX_FILE, TORCHSCRIPT_FILE
from pipeline.embed.serve import BROWSERS
from pipeline.errors import UnavailableError, unknown
from pipeline.trust import Trust

CLIENTS = Path(__file__).with_name("clients")

# Where a program comes from on Debian; elsewhere the names are much the same.
_PACKAGE = {"c++": "g++", "cc": "gcc", "node": "nodejs", "wasm-ld": "lld"}
_NPM = (("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"),)

Command = tuple[str, ...]


@dataclass(frozen=True)
class Target:
    """A project: the folders of ``clients/`` and the files of the bundle that it is made of.

    ``programs`` must be on the PATH; of several in a tuple, one. ``build`` and ``replay`` are
    commands in the folder of the project; a target without ``replay`` is one that a browser opens.
    ``loops`` names the graphs with the loop inside that it runs, and ``generated`` makes what is
    not the same for all models.
    """

    title: str
    clients: tuple[str, ...]
    file: str = ""
    loops: tuple[str, ...] = ()
    programs: tuple[tuple[str, ...], ...] = ()
    build: tuple[Command, ...] = ()
    replay: Command = ()
    generated: Callable[[Bundle], Mapping[str, bytes]] | None = None

    def require_trusted(self, bundle: Bundle, trust: Trust) -> None:
        """Make sure that what the project runs of ``bundle`` may run.

        Raises:
            UnsafeError: it is TorchScript, which is code, and ``trust`` does not reach it.
            PipelineError: a file of the bundle is missing or was changed.
        """
        if self.file == TORCHSCRIPT_FILE:
            trust.require(bundle)

    def require(self) -> None:
        """Make sure that the project can be built and run here.

        Raises:
            UnavailableError: a program is missing; it is named.
        """
        for names in self.programs:
            if not any(map(shutil.which, names)):
                package = _PACKAGE.get(names[0], names[0])
                raise UnavailableError(
                    f"{self.title} needs {names[0]}, which is not there; install it (Debian: "
                    f"apt-get install {package})"
                )


def _c_source(bundle: Bundle) -> Mapping[str, bytes]:
    from pipeline.embed.c import c_source

    return c_source(bundle)


TARGETS = {
    "python": Target(
        "Python",
        ("python",),
        ONNX_FILE,
        ("generate",),
        replay=(sys.executable, "replay.py"),
    ),
    "node": Target(
        "Node.js",
        ("javascript", "node-programs", "node"),
        ONNX_FILE,
        ("generate",),
        programs=(("node",), ("npm",)),
        build=_NPM,
        replay=("node", "replay.mjs"),
    ),
    "browser": Target(
        "browser",
        ("javascript", "browser"),
        ONNX_FILE,
        ("generate", "forecast"),
        programs=(("npm",), BROWSERS),
        build=_NPM,
    ),
    "cpp-libtorch": Target(
        "C++ with LibTorch",
        ("cpp-libtorch",),
        TORCHSCRIPT_FILE,
        programs=(("cmake",), ("c++",)),
        build=(
            ("cmake", "-S", ".", "-B", "build", "-DCMAKE_PREFIX_PATH={torch}"),
            ("cmake", "--build", "build", "--parallel", "2"),
        ),
        replay=("build/replay",),
    ),
    "c": Target(
        "C",
        ("c",),
        programs=(("make",), ("cc",)),
        build=(("make", "--silent", "replay", "example"),),
        replay=("./replay",),
        generated=_c_source,
    ),
    "wasm": Target(
        "WebAssembly",
        ("javascript", "node-programs", "wasm"),
        programs=(("make",), ("clang",), ("wasm-ld",), ("node",)),
        build=(("make", "--silent"),),
        replay=("node", "replay.mjs"),
        generated=_c_source,
    ),
}


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TARGETS:
        raise unknown("target", name, TARGETS)
    return TARGETS[name]
