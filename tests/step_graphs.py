"""Bundles with step graphs, which are kept in ``data``: converters are too large for every test.

``PYTHONPATH=tests python tests/step_graphs.py`` writes them anew, with every converter there is.
"""

import io
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from module_bundles import write_module_bundle
from tiny import saved, text_config

from pipeline.bundle import Bundle, build_bundle, open_bundle
from pipeline.checkpoint import load_network
from pipeline.contract.law import Array
from pipeline.run.step_graph import export_step_graph
from pipeline.runtimes.base import Runtime
from pipeline.runtimes.catalog import RUNTIMES
from pipeline.runtimes.converter import Converter
from pipeline.runtimes.kind import Kind
from pipeline.storage import write_folder

STEP_GRAPHS = Path(__file__).with_name("data") / "step_graphs"
CONVERTED = {name: kind for name, kind in RUNTIMES.items() if kind.converter is not None}
KEPT = ("char-lstm", "stream")  # a network, and a module whose steps come two at a time


def write_kept(name: str, folder: Path) -> Bundle:
    """A bundle without step graphs yet: of a tiny network, or of a module."""
    if name != "char-lstm":
        return write_module_bundle(name, folder)
    with TemporaryDirectory() as place:
        checkpoint = saved(Path(place) / name, text_config("lstm", num_layers=2, epochs=1))
        network = load_network(Path(place) / name, checkpoint)
    write_folder(folder, build_bundle(checkpoint, network, 18))
    return open_bundle(folder)


class Program(Runtime):
    """A program of ``torch.export``, run by torch: a converter to it has nothing to do."""

    format, name = "program", "program"
    provider = home = "cpu"

    def __init__(self, file: bytes) -> None:
        self.module = torch.export.load(io.BytesIO(file)).module()

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        with torch.no_grad():
            found = self.module(*(torch.from_numpy(array) for array in inputs.values()))
        return [tensor.numpy() for tensor in found]


class Here(Converter):
    """A converter whose packages are those of this environment."""

    def install(self, say: Callable[[str], None] = lambda line: None) -> Path:
        return Path(__file__).parent


def convert_badly(program: bytes) -> bytes:
    """A program whose weights are off in their third digit."""
    exported = torch.export.load(io.BytesIO(program))
    with torch.no_grad():
        for weight in (*exported.constants.values(), *exported.state_dict.values()):
            if weight.is_floating_point():
                weight.mul_(1.001)
    file = io.BytesIO()
    torch.export.save(exported, file)
    return file.getvalue()


def convert_never(program: bytes) -> bytes:
    raise NotImplementedError("no lowering of aten.gru\nand more")


def program_kind(convert: Callable[[bytes], bytes] = bytes) -> Kind:
    """A runtime of :class:`Program`."""
    return Kind(
        name="program",
        format="program",
        package="torch",
        file="model.pt2",
        openers=lambda file, provider: [partial(Program, file)],
        help="torch.export",
        converter=Here(convert, ("program==1",), 1),
    )


def main() -> None:
    """Write every bundle that is kept."""
    for name in KEPT:
        bundle = write_kept(name, STEP_GRAPHS / name)
        for kind in CONVERTED.values():
            bundle = export_step_graph(bundle, kind, print)
        size = sum(entry.bytes for entry in bundle.manifest.files.values())
        print(f"{bundle.folder}: {size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
