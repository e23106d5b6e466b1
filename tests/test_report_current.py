"""The report is written when its findings change, and left alone otherwise."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from validated import Page, Validated, failing

from pipeline.errors import IntegrityError
from pipeline.report.current import is_current
from pipeline.report.html import report_html
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.storage import update_file


def test_a_page_is_current_until_its_findings_change(
    validated: list[Validated], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    assert not is_current(path, validated)
    path.write_bytes(report_html(validated))
    assert is_current(path, validated)
    assert not is_current(path, validated[:1])
    bundle, validation = validated[0]
    other = validation.model_copy(update={"machine": "another"})
    assert not is_current(path, [(bundle, other), *validated[1:]])


def test_a_page_whose_writer_was_killed_is_not_current_and_drawing_it_again_clears_up(
    validated: list[Validated], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(report_html(validated))
    (tmp_path / ".report.html.lock").touch()
    assert not is_current(path, validated)
    update_file(path, report_html(validated))
    assert [left.name for left in tmp_path.iterdir()] == ["report.html"]
    assert is_current(path, validated)


def test_the_same_findings_give_the_same_page_and_the_file_is_left_alone(
    validated: list[Validated], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "report.html"
    update_file(path, report_html(validated))
    before = path.stat()
    update_file(path, report_html(validated))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    update_file(path, report_html(validated[:1]))
    assert path.stat().st_ino != before.st_ino


def test_a_model_that_failed_is_reported_and_not_run_again(
    validated: list[Validated], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*given: object) -> None:
        raise AssertionError("a runtime that hung would hang here too")

    monkeypatch.setattr(OnnxRuntime, "run", hang)
    page = Page(report_html([(bundle, failing(found)) for bundle, found in validated]))
    assert page.text.count("no row of ONNX Runtime passed") == 2


def test_a_changed_file_is_never_drawn(validated: list[Validated], tmp_path: Path) -> None:
    bundle, validation = validated[0]
    shutil.copytree(bundle.folder, tmp_path / "copy")
    (tmp_path / "copy" / "onnx" / "model.onnx").write_bytes(b"other")
    with pytest.raises(IntegrityError):
        report_html([(replace(bundle, folder=tmp_path / "copy"), validation)])
