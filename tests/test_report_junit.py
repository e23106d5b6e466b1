"""The JUnit file: one test for each case."""

from xml.etree import ElementTree

from validated import Validated, failing

from pipeline.report.junit import junit_xml
from pipeline.validate import CaseRecord, Row, Validation


def records(validations: list[Validation]) -> list[tuple[Row, CaseRecord]]:
    rows = [row for validation in validations for row in validation.rows]
    return [(row, record) for row in rows for record in row.cases]


def test_junit_has_one_test_per_case(validated: list[Validated]) -> None:
    validations = [validation for _, validation in validated]
    root = ElementTree.fromstring(junit_xml(validations))
    assert [suite.get("name") for suite in root] == ["sine-lstm", "char-gru"]
    tests = list(root.iter("testcase"))
    free = [test for test in tests if "free run, 40 steps" in (test.get("name") or "")]
    assert len(free) == 6
    expected = [f"{row.model}.{row.runtime}.{row.provider}" for row, _ in records(validations)]
    assert [test.get("classname") for test in tests if test not in free] == expected
    assert len({(test.get("classname"), test.get("name")) for test in tests}) == len(tests)
    for element in (root, *root):
        inside = str(len(list(element.iter("testcase"))))
        counts = [element.get(name) for name in ("tests", "failures", "errors", "skipped")]
        assert counts == [inside, "0", "0", "0"]


def test_junit_tells_failures_and_rows_that_did_not_run(validated: list[Validated]) -> None:
    root = ElementTree.fromstring(junit_xml([failing(validated[0][1])]))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("44", "2", "1")
    crash, wrong = root.iter("failure")
    assert crash.get("message") == "RuntimeError: \N{REPLACEMENT CHARACTER}[1mtime is frozen"
    assert "next_state[0, 1, 2] is not finite, not 0.125" in (wrong.get("message") or "")
    assert wrong.text == "it is <b>off</b>"
    assert [skip.get("message") for skip in root.iter("skipped")] == ["not installed"]
