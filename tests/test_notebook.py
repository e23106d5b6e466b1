"""Notebooks: what shows itself there, and that the notebook in this folder runs."""

import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from command_line import ROOT
from module_bundles import write_module_bundle
from tiny import installed, validation_of

import pipeline
from pipeline.bundle import Bundle
from pipeline.notebook import shown
from pipeline.validate.shares import percent

NOTEBOOK = Path(__file__).with_name("model_at_work.ipynb")
EVIL = "<script>alert(1)</script> & \"'\u202e"
Bundles = Callable[[str], Bundle]


class Seen(HTMLParser):
    """The tags and the text cells of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_whatever_is_shown_is_text() -> None:
    seen = Seen(shown(EVIL, [EVIL], [[EVIL]], [EVIL]))
    assert seen.tags == {"strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert seen.text == [EVIL.replace("\u202e", "\\u202e")] * 4


@pytest.mark.parametrize("name", ["sine-gru", "char-rnn"])
def test_a_bundle_shows_its_tensors_with_their_meanings_and_its_scores(
    tiny_bundle: Bundles, name: str
) -> None:
    bundle = pipeline.load(tiny_bundle(name).folder)
    seen = Seen(bundle._repr_html_())
    assert seen.text[0].startswith(f"{name}: {bundle.task}, ")
    for spec in (*bundle.inputs, *bundle.outputs):
        assert spec.name in seen.text
        assert spec.meaning in seen.text
    assert "next_state goes in again as state" in seen.text
    score = "RMSE of one step" if bundle.task == "series" else "bits per character"
    assert score in seen.text[-1]


def test_a_bundle_of_a_module_shows_its_class_and_no_scores(tmp_path: Path) -> None:
    bundle = write_module_bundle("sequence", tmp_path / "sequence")
    seen = Seen(pipeline.load(bundle.folder)._repr_html_())
    assert bundle.manifest.module is not None
    assert seen.text[0] == f"{bundle.manifest.name}: {bundle.manifest.module.class_name}"
    assert seen.text[-1] == "no state: every call is a whole sequence"


def test_a_validation_shows_its_verdict_and_escapes_its_reasons(tiny_bundle: Bundles) -> None:
    found = validation_of(tiny_bundle("sine-lstm"))
    seen = Seen(found._repr_html_())
    assert seen.text[0] == "sine-lstm: ✓ all is well"
    for row in found.rows:
        assert f"{percent(row.share or 0)} of the tolerance" in seen.text
    *others, last = found.rows
    failed = last.model_copy(update={"status": "fail", "reason": EVIL, "share": None})
    gone = others[0].model_copy(update={"status": "not run", "reason": "not installed"})
    seen = Seen(found.model_copy(update={"rows": (gone, *others[1:], failed)})._repr_html_())
    assert seen.text[0] == "sine-lstm: ✗ not as PyTorch"
    assert "script" not in seen.tags
    assert "not finite of the tolerance" in seen.text
    assert seen.text[-2:] == [
        f"{gone.label} on cpu: not run: not installed",
        f"{failed.label} on cpu: fail: {EVIL}".replace("\u202e", "\\u202e"),
    ]


@pytest.mark.filterwarnings("default")  # those of Jupyter's own packages are not ours
def test_the_notebook_runs_from_its_first_cell_to_its_last(
    tiny_bundle: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient, nbformat = installed("nbclient"), installed("nbformat")
    installed("ipykernel")
    shutil.copytree(tiny_bundle("sine-gru").folder, tmp_path / "exported" / "sine-gru")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells] == [[]] * len(cells)  # as it is kept
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()

    def made(cell: Any, kind: str) -> str:
        found = [output.data[kind] for output in cell.outputs if kind in output.get("data", {})]
        assert len(found) == 1, cell
        return str(found[0])

    load, stream, forecast, chart, validation = cells
    assert "the next values in raw units" in Seen(made(load, "text/html")).text
    assert float(made(stream, "text/plain")) < 1e-4
    table = made(forecast, "text/html")
    assert [day in table for day in ("2026-07-19", "2026-07-20", "2026-08-18")] == [
        False,
        True,
        True,
    ]
    assert "value 90%" in table
    assert made(chart, "image/png")
    assert "sine-gru: ✓ all is well" in Seen(made(validation, "text/html")).text
