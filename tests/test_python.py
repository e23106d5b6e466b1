"""``import pipeline``: bundles opened and described, and what is written about them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import ROOT
from python_bundles import CHAR, POINTS, SINE, TWO, WAVE, close
from tiny import refused

import pipeline as api
from pipeline.errors import (
    IntegrityError,
    MalformedError,
    UnsafeError,
    UsageError,
)
from pipeline.runtimes.onnx_runtime import OnnxRuntime

# --- opening


def in_python(code: str, folder: Path) -> str:
    """What a process of its own prints."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "utf8",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("", {"numpy", "pydantic", "pandas", "onnxruntime"}),
        (f"pipeline.load({CHAR!r}, '.')", {"pandas", "onnxruntime"}),
        (f"pipeline.load('./{CHAR}').stream()('the')", {"pandas"}),
        (f"pipeline.load({CHAR!r}, '.').generate('a', 3)", {"pandas"}),
        (f"pipeline.load({SINE!r}, '.').forecast([1, 2], 3, 4)", set()),
    ],
    ids=["import", "load", "stream", "generate", "forecast"],
)
def test_no_library_is_imported_before_it_is_needed(
    at_work: Path, code: str, heavy: set[str]
) -> None:
    found = f"{heavy | {'torch', 'onnx'}!r} & set(sys.modules)"
    assert in_python(f"import pipeline\n{code}\nprint({found})", at_work) == "set()\n"


def test_without_onnxruntime_a_bundle_opens_and_says_what_to_install(at_work: Path) -> None:
    code = dedent(f"""
        sys.modules["onnxruntime"] = None
        import pipeline
        from pipeline.errors import UnavailableError
        bundle = pipeline.load({SINE!r}, ".")
        try:
            bundle.stream()
        except UnavailableError as error:
            print(bundle.name, error)
    """)
    found = in_python(code, at_work)
    assert found.startswith(f"{SINE} onnxruntime is not installed; run ")
    assert "'onnxruntime>=1.21'" in found


def test_a_name_is_looked_up_and_a_path_is_a_path(
    at_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(at_work, tmp_path / "exported")
    monkeypatch.chdir(tmp_path)
    for found in (
        api.load(SINE),
        api.load(f"exported/{SINE}"),
        api.load(tmp_path / "exported" / SINE),
        api.load(SINE, exported=Path("exported")),
    ):
        assert (found.name, found.folder.resolve()) == (SINE, tmp_path / "exported" / SINE)
    with refused(UsageError, "'sine-gr'", "did you mean 'sine-gru'"):
        api.load("sine-gr")
    for path in ("./some/where", Path("some/where")):  # a text without the dot is a name on the Hub
        with refused(MalformedError, "manifest is missing", "some/where"):
            api.load(path)


def test_a_bundle_that_was_changed_is_not_called(at_work: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(at_work / SINE, tmp_path / SINE))
    file = folder / "onnx/model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    bundle = api.load(folder)
    with refused(IntegrityError, "model.onnx was changed", "export it anew"):
        bundle.stream()
    file.unlink()
    file.symlink_to(at_work / SINE / "onnx/model.onnx")
    with refused(UnsafeError, "model.onnx is a link"):
        bundle.run(input=WAVE[None, :, None])


def test_a_bundle_says_what_it_is(
    char: api.Bundle, sine: api.Bundle, two: api.Bundle, both: api.Bundle
) -> None:
    assert repr(char).startswith(
        f"Bundle {CHAR}: text, LSTM, 2 × 6 units; input int64 [batch, time]"
    )
    assert repr(char.stream(2)) == f"Stream of {CHAR}: batch 2, state float32 [2, 4, 6]"
    for bundle in (char, sine, two, both):
        assert len(repr(bundle).splitlines()) == 1
    assert (char.name, char.task, char.columns, char.targets) == (CHAR, "text", (), ())
    assert char.vocabulary is not None
    assert "q" in char.vocabulary
    assert [spec.name for spec in sine.inputs] == ["input", "state"]
    assert [spec.name for spec in sine.outputs] == ["output", "next_state"]
    assert [(pair.input, pair.output) for pair in sine.states] == [("state", "next_state")]
    assert (sine.window, sine.vocabulary) == (None, None)
    assert (two.columns, two.targets) == (("a", "b"), ("a", "b"))
    assert (both.states, both.window) == ((), both.manifest.window)


def test_the_package_carries_its_types() -> None:
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'package-data = { "pipeline" = ["py.typed"],' in settings
    assert (ROOT / "pipeline" / "py.typed").is_file()
    assert {"Bundle", "Stream", "load"} <= set(dir(api))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = api.lod  # type: ignore[attr-defined]


# --- validation, and what is written about all this


def test_validation_gives_its_records_and_keeps_them_in_the_bundle(sine: api.Bundle) -> None:
    before = sorted(path.name for path in sine.folder.iterdir())
    found = sine.validate(runtimes=("onnxruntime",), providers=("cpu",))
    assert found.passed
    assert (found.model, found.bundle_sha256) == (SINE, sine.digest)
    runtimes = {row.runtime for row in found.rows if row.graph == "model"}
    assert OnnxRuntime(sine.read("onnx/model.onnx"), "cpu").name in runtimes
    after = sorted(path.name for path in sine.folder.iterdir())
    assert after == sorted({*before, "validation.json"})
    with refused(UsageError, "'onnxruntme'", "did you mean 'onnxruntime'"):
        sine.validate(runtimes=("onnxruntme",))


@pytest.mark.parametrize("documented", [api, api.Stream], ids=["package", "Stream"])
def test_the_examples_in_the_documentation_run(
    at_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documented: Any
) -> None:
    for name, copy in ((CHAR, "char-lstm"), (TWO, "load-lstm")):
        shutil.copytree(at_work / name, tmp_path / "exported" / copy)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "frame": pd.DataFrame({"a": WAVE, "b": WAVE}, index=pd.date_range("2024", periods=40)),
        "bundle": api.load("char-lstm"),
        "x": POINTS,
    }
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", dedent(f"    {documented.__doc__}"))
    assert blocks
    for block in blocks:
        exec(dedent(block), names)
    if "ahead" in names:
        assert names["ahead"].index[0] == pd.Timestamp("2024-02-10")
        assert names["logits"].shape[:2] == (1, 9)
    else:
        close(np.concatenate(names["pieces"], axis=1), names["whole"])
