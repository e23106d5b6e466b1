"""README, help texts, make targets, schemas and the file tree say what is so."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from pipeline.bundle import Bundle
from pipeline.cli import cli
from pipeline.config import FAMILIES, PRESETS, Config, SeriesSource
from pipeline.contract.manifest import manifest_schema
from pipeline.errors import PipelineError
from pipeline.export import OPSETS
from pipeline.runtimes.kind import PROVIDERS
from pipeline.validate.records import validation_schema

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLIENTS = re.compile(r"embed/\w+/client/|embed/javascript/\w+/")  # files of other languages
ROUTE = [
    *("errors", "escaping", "packages", "later", "disk", "reading", "storage", "cells"),
    *("config", "lookup", "signature", "seal"),
    *("contract", "threads", "data", "model", "train", "checkpoint", "importer", "export"),
    *("bundle", "trust", "runtimes", "validate", "embed", "benchmark", "report", "run", "cli"),
]


def readme_commands() -> list[list[str]]:
    """Every command line of the README that starts with ``pipeline``."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(pipeline \w+ [^`]+)`", README)
    commands = [shlex.split(line, comments=True) for line in lines]
    return [command[1:] for command in commands if command and command[0] == "pipeline"]


@pytest.mark.parametrize("command", readme_commands(), ids=" ".join)
def test_every_command_of_the_readme_is_understood(command: list[str]) -> None:
    name, *arguments = command
    with cli.commands[name].make_context(name, arguments) as context:
        assert context.command.name == name


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
    own |= {"force", "as_json"}
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


def test_the_tree_in_the_readme_is_the_tree() -> None:
    block = re.search(r"```text\npipeline/\n(.*?)```", README, flags=re.S)
    assert block
    shown: set[str] = set()
    folders: list[str] = []
    for line in block[1].splitlines():
        name = line.split()[0]
        folders = folders[: (len(line) - len(line.lstrip())) // 2 - 1]
        if name.endswith("/"):
            folders.append(name)
        if not name.endswith("/"):
            shown.add("".join(folders) + name)
            assert len(line.split()) > 1, f"{name} is not explained"
    package = ROOT / "pipeline"
    files = [path for kind in ("py", "j2", "c", "h", "cpp") for path in package.rglob(f"*.{kind}")]
    names = {path.relative_to(package).as_posix() for path in files}
    names = {name for name in names if not CLIENTS.match(name)}
    assert shown == {name for name in names if not name.endswith(("__init__.py", "__main__.py"))}


def test_a_file_imports_only_from_files_to_the_left_of_it() -> None:
    for path in (ROOT / "pipeline").rglob("*.py"):
        part = path.relative_to(ROOT / "pipeline").parts[0].removesuffix(".py")
        if part in ("__init__", "__main__"):
            continue
        imports = re.findall(r"^\s*from pipeline\.(\w+)", path.read_text(encoding="utf-8"), re.M)
        for imported in imports:
            assert ROUTE.index(imported) <= ROUTE.index(part), f"{path.name} imports {imported}"


def test_exit_codes_in_the_help_and_the_readme_are_those_of_the_errors() -> None:
    codes = {error.exit_code for error in PipelineError.__subclasses__()}
    assert codes == {2, 3, 4, 5, 6, 7, 8}
    for text in (cli.help or "", README):
        listed = re.search(r"0 done(.*?)130 interrupted", text, flags=re.S)
        assert listed
        assert {int(code) for code in re.findall(r"\b(\d) ", listed[1])} == codes


def test_make_lists_its_targets_and_the_readme_uses_only_those() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in listed.splitlines() if re.match(r"[a-z]+ {2,}\w", line)}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == set(re.findall(r"^([a-z]+):.*##", makefile, flags=re.M))
    for line in re.findall(r"make ((?:[a-zA-Z]+(?:=\S+)? ?)+)", README):
        used = {word for word in line.split() if word in targets or "=" in word}
        assert used or line.startswith("and"), line


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        ("manifest.schema.json", manifest_schema()),
        ("validation.schema.json", validation_schema()),
    ],
)
def test_published_schemas_are_those_of_the_code(file: str, schema: dict[str, object]) -> None:
    assert json.loads((ROOT / "exported" / file).read_text(encoding="utf-8")) == schema


@pytest.mark.parametrize("file", ["model.onnx", "generate.onnx"])
def test_the_lines_of_python_in_the_readme_run_with_numpy_and_onnxruntime_alone(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, file: str
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    [block] = [block for block in blocks if f"/onnx/{file}" in block]
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "char-lstm").symlink_to(tiny_bundle("char-lstm").folder)
    refuse = "import sys; sys.modules['torch'] = sys.modules['pipeline'] = None\n"
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", refuse + block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert len(done.stdout) >= 200


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
