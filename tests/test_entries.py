"""A runtime is one file and a target is one folder: whatever lists them is made of these."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cloup
import pytest
from step_graphs import STEP_GRAPHS

import pipeline.embed
import pipeline.runtimes
from pipeline.bundle import Bundle
from pipeline.cli import cli
from pipeline.embed import targets
from pipeline.embed.project import project_files
from pipeline.embed.target import Target
from pipeline.embed.targets import TARGETS
from pipeline.report import readme
from pipeline.report.readme import TABLES, with_tables
from pipeline.runtimes import catalog
from pipeline.runtimes.catalog import RUNTIMES
from pipeline.runtimes.kind import Kind

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "onnxruntime", "openvino", "tract", "wasmtime", "ai_edge_litert", "executorch"}
READMES = {
    "runtimes": ROOT / "pipeline/runtimes/README.md",
    "targets": ROOT / "pipeline/embed/README.md",
}
RUNTIME = """
from pipeline.contract.files import ONNX_FILE
from pipeline.runtimes.kind import Kind

KIND = Kind("abacus", "ONNX", "abacus", ONNX_FILE, lambda file, provider: [], "Beads on a wire")
"""
TARGET = """
from pathlib import Path
from pipeline.embed.target import CLIENT, Program, Target

TARGET = Target(
    name="abacus",
    title="Abacus",
    help="Beads on a wire",
    limits="It is slow",
    clients=(Path(__file__).with_name(CLIENT),),
    programs=(Program("abacus-run", "abacus-tools"),),
)
"""


def help_of(command: str) -> list[list[str]]:
    """Every line of a help text, as its first word and the rest."""
    with cloup.Context(cli.commands[command], max_content_width=1000, terminal_width=1000) as it:
        return [line.split(maxsplit=1) for line in it.command.get_help(it).splitlines()]


def said(entry: Kind | Target) -> list[str]:
    """What a help text says of a runtime or a target."""
    parts = [f"{getattr(entry, name)}." for name in ("help", "limits") if getattr(entry, name)]
    return [entry.name, " ".join(parts)]


def test_runtimes_stand_in_the_order_of_their_rows() -> None:
    always = ["torchscript", "onnxruntime", "reference"]
    assert [*RUNTIMES] == [*always, "executorch", "litert", "openvino", "tract", "wasmtime"]


@pytest.mark.parametrize("entry", [*RUNTIMES.values(), *TARGETS.values()], ids=lambda it: it.name)
def test_help_and_limits_can_be_put_into_a_table_and_a_sentence(entry: Kind | Target) -> None:
    assert entry.help
    for text in (entry.help, entry.limits):
        assert text == text.strip().removesuffix(".")
        assert not set(text) & set("|\n`")


def test_help_texts_list_what_can_be_chosen() -> None:
    validate, embed = help_of("validate"), help_of("embed")
    for target in TARGETS.values():
        assert (said(target) in validate) == target.is_run_here
        assert said(target) in embed
    for runtime in RUNTIMES.values():
        assert said(runtime) in validate
        assert said(runtime) not in embed


def test_a_new_file_is_a_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "abacus.py").write_text(RUNTIME)
    monkeypatch.setattr(pipeline.runtimes, "__path__", [*pipeline.runtimes.__path__, str(tmp_path)])
    found = catalog._found()
    monkeypatch.delitem(sys.modules, "pipeline.runtimes.abacus")
    assert found.keys() - RUNTIMES.keys() == {"abacus"}
    monkeypatch.setattr(catalog, "RUNTIMES", found)
    monkeypatch.setattr(readme, "RUNTIMES", found)
    assert ["abacus", "Beads on a wire."] in help_of("validate")
    assert "| `abacus` | Beads on a wire | always | |\n" in readme.runtimes_table()


def test_a_new_folder_is_a_target(
    tiny_bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = tmp_path / "abacus" / "client"
    client.mkdir(parents=True)
    (client.parent / "__init__.py").write_text(TARGET)
    (client / "beads.txt").write_text("o-oo")
    monkeypatch.setattr(pipeline.embed, "__path__", [*pipeline.embed.__path__, str(tmp_path)])
    found = targets._found()
    monkeypatch.delitem(sys.modules, "pipeline.embed.abacus")
    assert found.keys() - TARGETS.keys() == {"abacus"}
    assert project_files(tiny_bundle("sine-gru"), found["abacus"])["beads.txt"] == b"o-oo"
    monkeypatch.setattr(targets, "TARGETS", found)
    monkeypatch.setattr(readme, "TARGETS", found)
    assert "abacus-tools" in targets.missing_packages()
    assert ["abacus", "Beads on a wire. It is slow."] in help_of("embed")
    row = "| `abacus` | Beads on a wire | `abacus-tools` | It is slow |\n"
    assert row in readme.targets_table()


@pytest.mark.parametrize("name", TABLES)
def test_the_table_of_a_readme_is_made_of_what_there_is(name: str) -> None:
    text = READMES[name].read_text(encoding="utf-8")
    assert f"<!-- table: {name} -->\n| " in text
    assert with_tables(text) == text, "'make tables' makes it anew"


def test_a_table_is_put_where_it_belongs_and_nothing_else_is_touched() -> None:
    empty = "# a\n\n<!-- table: targets -->\n| old |\n<!-- end -->\n\n| kept |\n<!-- end -->\n"
    full = with_tables(empty)
    assert full == empty.replace("| old |\n", readme.targets_table())
    assert with_tables(full) == full


def imported(code: str) -> set[str]:
    """The heavy libraries that a Python has imported after ``code``."""
    show = f"import sys; {code}; print(*{HEAVY} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {*done.stdout.split()}


def test_lists_of_runtimes_and_targets_load_no_library_of_theirs() -> None:
    assert imported("import pipeline.runtimes.catalog, pipeline.embed.targets") == set()


@pytest.mark.parametrize("name", [name for name in RUNTIMES if name != "executorch"])  # uses torch
def test_the_process_of_a_runtime_loads_no_other(
    tiny_bundle: Callable[[str], Bundle], name: str, tmp_path: Path
) -> None:
    kind, bundle = RUNTIMES[name], tiny_bundle("sine-gru")
    folder = STEP_GRAPHS / "char-lstm" if kind.converter else bundle.folder
    path = folder / kind.file
    if kind.built is not None:
        path = tmp_path / kind.file
        path.write_bytes(kind.built(bundle))
    module = kind.openers.__module__
    opened = f"KIND.openers(open({str(path)!r}, 'rb').read(), 'cpu')[-1]()"
    assert imported(f"from {module} import KIND; {opened}") <= {kind.package}


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("executorch", "runtimes/executorch.py"),
        ("litert", "runtimes/litert.py"),
        ("tract", "runtimes/tract.py"),
        ("openvino", "runtimes/openvino.py"),
        ("wasmtime", "runtimes/wasmtime.py"),
        ("libtorch", "embed/cpp_libtorch/__init__.py"),
    ],
)
def test_a_name_stands_in_its_own_file_alone(word: str, place: str) -> None:
    package, name = ROOT / "pipeline", re.compile(rf"(?<![a-z]){word}(?![a-z])", re.IGNORECASE)
    paths = [path for path in package.rglob("*.py") if name.search(path.read_text("utf-8"))]
    assert [path.relative_to(package).as_posix() for path in paths] == [place]
