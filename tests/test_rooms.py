"""Who knows of the built-in network: those who make it, and nobody after the export."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
NETWORK = ("pipeline.model", "pipeline.checkpoint.network", "pipeline.checkpoint.weights")
LOADERS = {"load_network", "network_from", "network_of", "put_weights"}  # that give the network
# Its makers, the exporter's producer of its files, those who write bundles of it, and the trust
# that traces it anew; the commands join them.
MAKERS = ("train", "checkpoint", "importer", "export", "bundle", "trust", "cli")


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """The module and the name of every import in a file, also of those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def knows_the_network(path: Path) -> bool:
    return any(
        module in NETWORK or f"{module}.{name}" in NETWORK or name in LOADERS
        for module, name in imported(path)
    )


def test_nothing_after_the_export_knows_the_built_in_network() -> None:
    files = [path.relative_to(ROOT / "pipeline") for path in ROOT.glob("pipeline/**/*.py")]
    know = {path for path in files if knows_the_network(ROOT / "pipeline" / path)}
    assert Path("bundle/network.py") in know  # the search finds those who may
    assert not sorted(path for path in know if path.parts[0] not in (*MAKERS, "model.py"))
