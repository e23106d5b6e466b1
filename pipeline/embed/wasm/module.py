"""The WebAssembly module of a bundle, for engines other than the one of the project's programs."""

import tempfile
from dataclasses import replace
from pathlib import Path

from pipeline.contract import Bundle
from pipeline.embed.building import build
from pipeline.embed.project import write_project
from pipeline.embed.wasm import COMPILERS, MODULE, TARGET


def wasm_module(bundle: Bundle) -> bytes:
    """The module, as the build of the project makes it.

    Raises:
        UnavailableError: a compiler is missing, or fails.
        UsageError: the target cannot run such a model.
        PipelineError: a file of the bundle is missing or was changed.
    """
    compiled = replace(TARGET, programs=COMPILERS)
    compiled.require()
    with tempfile.TemporaryDirectory(prefix="pipeline-wasm-") as folder:
        project = Path(folder, "project")
        write_project(bundle, compiled, project)
        build(compiled, project)
        return (project / MODULE).read_bytes()
