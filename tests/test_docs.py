"""README, help texts, make targets, schemas and the file tree say what is so."""

import ast
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import onnx
import pytest
import torch

from pipeline.bundle import Bundle
from pipeline.cli import cli
from pipeline.config import FAMILIES, PRESETS, Config, SeriesSource
from pipeline.contract.manifest import manifest_schema
from pipeline.embed.targets import RUN_HERE
from pipeline.errors import PipelineError
from pipeline.export import OPSETS
from pipeline.runtimes.catalog import RUNTIMES
from pipeline.runtimes.kind import PROVIDERS
from pipeline.validate.records import validation_schema

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = {
    path.parent.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(ROOT.glob("pipeline/*/README.md"))
}
DOCS = {"README": README, **ROOMS}
# A part that stands to the left of its package is named by itself.
ROUTE = [
    *(
        "errors",
        "escaping",
        "terminal",
        "notebook",
        "packages",
        "later",
        "disk",
        "reading",
        "storage",
        "cells",
        "config",
    ),
    *("lookup", "contract.law", "contract.tensors", "network_tensors", "seal"),
    *("contract", "verify", "threads", "data", "model", "train", "checkpoint", "importer"),
    *(
        "runtimes.base",
        "runtimes.converter",
        "runtimes.kind",
        "runtimes.pytorch",
        "runtimes.torchscript",
    ),
    *("export", "usercode", "variants", "bundle", "trust"),
    *("embed.target", "embed.sums", "embed.project", "embed.building"),
    *("embed.c", "embed.javascript", "embed.wasm", "runtimes", "validate"),
    *("embed", "benchmark"),
    *("report", "hub", "run", "cli"),
]


def shell_blocks(text: str) -> list[str]:
    """The blocks of commands in ``text``."""
    return re.findall(r"```sh\n(.*?)```", text, flags=re.S)


def commands_in(text: str) -> list[list[str]]:
    """Every command line that starts with ``pipeline``."""
    lines = [line for block in shell_blocks(text) for line in block.splitlines()]
    lines += re.findall(r"`(pipeline \w+ [^`]+)`", text)
    commands = [shlex.split(line, comments=True) for line in lines]
    return [command[1:] for command in commands if command and command[0] == "pipeline"]


def understand(command: click.Command, arguments: Sequence[str]) -> None:
    """Parse a command line as far as the command that would run."""
    with command.make_context(command.name, list(arguments)) as context:
        if isinstance(command, click.Group):
            _, inner, rest = command.resolve_command(context, list(arguments))
            assert inner is not None
            understand(inner, rest)


@pytest.mark.parametrize(
    ("doc", "command"),
    [
        pytest.param(doc, command, id=" ".join((doc, *command)))
        for doc, text in DOCS.items()
        for command in commands_in(text)
    ],
)
def test_every_command_of_a_readme_is_understood(
    doc: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RTNeural").mkdir()  # the clone that a benchmark is given
    understand(cli, command)


def test_links_of_every_readme_lead_somewhere() -> None:
    for doc, text in DOCS.items():
        folder = ROOT if doc == "README" else ROOT / doc
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("https://"):
                continue
            file, _, place = target.partition("#")
            path = folder / file if file else folder / "README.md"
            assert path.is_file(), f"{doc}: {target}"
            if place:
                titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.M)
                places = [
                    re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles
                ]
                assert place in places, f"{doc}: {target}"


def test_the_front_page_is_short_and_leads_to_every_room() -> None:
    assert len(README.splitlines()) <= 150
    for room in ROOMS:
        assert f"({room}/README.md)" in README


def test_the_matrix_of_the_front_page_has_a_row_for_all_that_runs_here() -> None:
    """What ``COLUMNS=120 pipeline validate --embedded`` prints after the main job goes there."""
    [matrix] = re.findall(r"```text\n(Largest error.*?)```", README, flags=re.S)
    _, titles, _, *rows = matrix.splitlines()
    assert titles.split() == ["runtime", *PRESETS]
    names = [row.split()[0].rstrip(",").lower().removeprefix("onnx.") for row in rows]
    assert list(dict.fromkeys(names)) == ["pytorch", *RUNTIMES, *RUN_HERE]
    for row in rows:
        assert len(re.findall(r"✓ \d+%", row)) == len(PRESETS), row


def test_every_package_says_what_it_is() -> None:
    for package in {path.parent for path in (ROOT / "pipeline").rglob("*.py")}:
        if {"client", "clients"}.isdisjoint(package.parts):  # programs that import nothing of ours
            source = (package / "__init__.py").read_text(encoding="utf-8")
            assert ast.get_docstring(ast.parse(source)), f"{package} has no docstring"


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_has_help_and_stands_in_the_readme(name: str) -> None:
    command = cli.commands[name]
    assert command.help
    assert f"| `pipeline {name}` |" in README
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("name", cli.commands)
def test_examples_in_the_help_are_understood(name: str) -> None:
    examples = re.findall(r"^\s+pipeline (.+)$", cli.commands[name].help or "", flags=re.M)
    for example in examples:
        command, *arguments = shlex.split(example)
        with cli.commands[command].make_context(command, arguments):
            pass


def test_every_training_option_sets_a_field_of_the_configuration() -> None:
    fields = {"name"}
    for preset in (PRESETS["sine-rnn"], PRESETS["char-rnn"]):
        content = preset.model_dump()
        fields |= {*content["source"], *content["model"], *content["training"]}
    fields |= {*SeriesSource.model_fields}
    own = {"names", "family", "device", "text", "series", "picture", "resume", "checkpoints"}
    own |= {"force", "as_json", "log"}
    options = {parameter.name for parameter in cli.commands["train"].params}
    assert options - own <= fields
    fixed = {"kind", "file", "files", "task"}  # decided by the data, as the columns are
    fixed |= {"columns", "features", "targets"}
    fixed |= {"readout"}  # follows from --bidirectional
    assert fields - fixed <= options


def test_help_texts_name_what_the_code_knows() -> None:
    helps = {
        parameter.name: parameter.help or ""
        for command in cli.commands.values()
        for parameter in command.params
        if isinstance(parameter, click.Option)
    }
    assert all(family in helps["family"] for family in FAMILIES)
    assert all(provider in helps["providers"] for provider in PROVIDERS)
    assert f"{OPSETS.start} to {OPSETS.stop - 1}" in helps["opset"]


def place(module: str) -> int:
    """Where ``module`` stands on the route, by its own name or that of a package it is in."""
    while module not in ROUTE:
        module = module.rpartition(".")[0]
    return ROUTE.index(module)


def test_a_file_imports_only_from_files_to_the_left_of_it() -> None:
    for path in (ROOT / "pipeline").rglob("*.py"):
        parts = path.relative_to(ROOT / "pipeline").with_suffix("").parts
        if parts[0] in ("__init__", "__main__"):
            continue
        imports = re.findall(r"^\s*from pipeline\.([\w.]+)", path.read_text(encoding="utf-8"), re.M)
        for imported in imports:
            assert place(imported) <= place(".".join(parts)), f"{path.name} imports {imported}"


@pytest.mark.parametrize(
    "module", ["pipeline.network_tensors", "pipeline.contract", "pipeline.verify"]
)
def test_a_package_can_be_the_first_that_is_imported(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_exit_codes_in_the_help_and_its_readme_are_those_of_the_errors() -> None:
    codes = {error.exit_code for error in PipelineError.__subclasses__()}
    assert codes == {2, 3, 4, 5, 6, 7, 8}
    for text in (cli.help or "", ROOMS["pipeline/cli"]):
        listed = re.search(r"0 done(.*?)130 interrupted", text, flags=re.S)
        assert listed
        assert {int(code) for code in re.findall(r"\b(\d) ", listed[1])} == codes


def test_make_lists_its_targets_and_every_readme_uses_only_those() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in listed.splitlines() if re.match(r"[a-z]+ {2,}\w", line)}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == set(re.findall(r"^([a-z]+):.*##", makefile, flags=re.M))
    for line in re.findall(r"(?:^|`)make (.+?)(?:`| +#|$)", "\n".join(DOCS.values()), flags=re.M):
        used = {word for word in shlex.split(line) if "=" not in word}
        assert used <= targets, line


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        ("manifest.schema.json", manifest_schema()),
        ("validation.schema.json", validation_schema()),
    ],
)
def test_published_schemas_are_those_of_the_code(file: str, schema: dict[str, object]) -> None:
    assert json.loads((ROOT / "exported" / file).read_text(encoding="utf-8")) == schema


def python_with(words: str) -> str:
    """The one block of Python in the READMEs that has these ``words``."""
    blocks = re.findall(r"```python\n(.*?)```", "".join(DOCS.values()), flags=re.S)
    [block] = [str(block) for block in blocks if words in block]
    return block


@pytest.mark.parametrize("file", ["model.onnx", "generate.onnx"])
def test_the_lines_of_python_without_our_code_run_with_numpy_and_onnxruntime_alone(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, file: str
) -> None:
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "char-lstm").symlink_to(tiny_bundle("char-lstm").folder)
    refuse = "import sys; sys.modules['torch'] = sys.modules['pipeline'] = None\n"
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", refuse + python_with(f"char-lstm/onnx/{file}")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert len(done.stdout) >= 200


def test_the_lines_of_python_on_the_front_page_run_without_torch(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    (tmp_path / "exported").mkdir()
    for name, preset in (("char-lstm", "char-lstm"), ("sine-lstm", "sine-gru")):
        (tmp_path / "exported" / name).symlink_to(tiny_bundle(preset).folder)
    refuse = "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", refuse + python_with("print(bundle.generate")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) >= 200  # characters of text, and then the forecast
    steps = [line.split()[0] for line in done.stdout.splitlines()[-12:]]
    assert steps == [str(4 + step) for step in range(12)]


def test_the_lines_of_python_that_export_a_module_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    classes = ("class Tagger", "class Stepwise", "class Resets")
    # A loop is read from its file.
    Path("mynet.py").write_text("\n\n".join(map(python_with, classes)))
    runpy.run_path("mynet.py", run_name="mynet")
    for name, nodes in (("tagger", ["LSTM"] * 2), ("stepwise", ["Scan"]), ("resets", ["Scan"])):
        found = [node.op_type for node in onnx.load(f"{name}.onnx").graph.node]
        assert [operator for operator in found if operator in ("LSTM", "Scan")] == nodes
    assert Path("tagger.pt").is_file()


def test_the_lines_of_python_that_take_a_module_to_a_stream_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    made: dict[str, Any] = {}
    exec(compile(python_with("class Denoiser"), "README.md", "exec"), made)
    assert made["clean"].shape == (1, 160, 1)
    assert made["stream"].state.shape == (1, 1, 16)
    assert (tmp_path / "exported" / "denoiser" / "manifest.json").is_file()


def test_the_first_screen_leads_a_newcomer_to_a_proof(tmp_path: Path) -> None:
    home, clone = tmp_path / "home", tmp_path / "clone"
    home.mkdir()
    clone.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    unbuilt = shutil.ignore_patterns("__pycache__", "node_modules")
    shutil.copytree(ROOT / "pipeline", clone / "pipeline", ignore=unbuilt)
    (clone / "mynet.py").write_text(python_with("class Denoiser"), encoding="utf-8")
    [commands] = [block for block in shell_blocks(README) if "mynet.py" in block]
    # The packages that are required are those of the environment of the tests: pip has no network.
    packages = {"PYTHONPATH": sysconfig.get_path("purelib"), "PIP_NO_BUILD_ISOLATION": "0"}
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    search = os.pathsep.join((str(Path(sys.executable).parent), "/usr/bin", "/bin"))
    clean = {"HOME": str(home), "PATH": search, "LANG": "C.UTF-8", "COLUMNS": "80"}
    done = subprocess.run(
        ["sh", "-e", "-c", commands],
        cwd=clone,
        env=clean | packages | offline,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^onnxruntime [\d.]+ +✓ \d+%$", done.stdout, flags=re.M), done.stdout
    assert "✗" not in done.stdout
    assert (clone / "exported" / "report.html").is_file()


def test_the_lines_of_python_that_count_nodes_run(
    tiny_bundle: Callable[[str], Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exported").mkdir()
    folder = tiny_bundle("sine-gru").folder
    (tmp_path / "exported" / "sine-gru").symlink_to(folder)
    exec(compile(python_with("len(onnx.load(path)"), "README.md", "exec"), {})
    nodes = len(onnx.load(folder / "onnx/model.onnx").graph.node)
    assert capsys.readouterr().out == f"exported/sine-gru/onnx/model.onnx {nodes}\n"


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import sys; from pipeline.cli import cli; cli(['--help'], standalone_mode=False); "
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy', 'pydantic', 'rich'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_configuration_of_a_preset_survives_json() -> None:
    for preset in PRESETS.values():
        assert Config.model_validate_json(preset.model_dump_json()) == preset
