"""Validations as JUnit XML, which CI services display."""

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from pipeline.escaping import xml
from pipeline.validate import Row, Validation
from pipeline.validate.judge import describe


def junit_xml(validations: Sequence[Validation]) -> bytes:
    """One suite per model; one test per case of each row, named ``model.runtime.provider``."""
    root = ElementTree.Element("testsuites", name="pipeline validate")
    for validation in validations:
        tests = [test for row in validation.rows for test in _tests(row)]
        suite = ElementTree.SubElement(root, "testsuite", name=xml(validation.model))
        suite.attrib |= _counts(tests)
        suite.set("time", f"{sum(row.seconds for row in validation.rows):.2f}")
        properties = ElementTree.SubElement(suite, "properties")
        facts = {**validation.versions, "machine": validation.machine}
        for name, value in facts.items():
            ElementTree.SubElement(properties, "property", name=xml(name), value=xml(value))
        suite.extend(tests)
    root.attrib |= _counts(list(root.iter("testcase")))
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _tests(row: Row) -> Iterator[ElementTree.Element]:
    """A test for each case, and one for the whole row if it did not run or no case says why it
    failed."""
    place = xml(f"{row.model}.{row.label}.{row.provider}")
    for number, record in enumerate(row.cases, 1):
        # Numbered, because two cases can differ in their states alone.
        name = xml(f"{number:02} {record.case}, batch {record.batch}, time {record.time}")
        test = ElementTree.Element("testcase", classname=place, name=name)
        if not record.passed:
            _add(test, "failure", describe(record), row.reason)
        yield test
    free, passed = row.free_run, all(record.passed for record in row.cases)
    if free is not None:
        passed &= free.passed
        test = ElementTree.Element(
            "testcase", classname=place, name=f"free run, {free.steps} steps"
        )
        if not free.passed:
            _add(test, "failure", f"step {free.first_difference}: {free.note}", row.reason)
        yield test
    if row.replay is not None and row.status == "pass":
        name = f"golden trajectories, {row.replay.calls} calls"
        yield ElementTree.Element("testcase", classname=place, name=name)
    whole = ElementTree.Element("testcase", classname=place, name="all cases")
    if row.status == "not run":
        _add(whole, "skipped", row.reason)
        yield whole
    elif row.status == "fail" and passed:
        _add(whole, "failure", row.reason)
        yield whole


def _add(test: ElementTree.Element, outcome: str, message: str, text: str = "") -> None:
    ElementTree.SubElement(test, outcome, message=xml(message)).text = xml(text)


def _counts(tests: Sequence[ElementTree.Element]) -> dict[str, str]:
    def having(outcome: str) -> int:
        return sum(test.find(outcome) is not None for test in tests)

    return {
        "tests": str(len(tests)),
        "failures": str(having("failure")),
        "errors": "0",
        "skipped": str(having("skipped")),
    }
