"""Evidence is added to a bundle without a change, and only one's own is believed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from pipeline.bundle import Bundle, network_of, open_bundle
from pipeline.checkpoint import load_network, read_checkpoint
from pipeline.config import Record
from pipeline.contract.law import FLOAT32
from pipeline.errors import IntegrityError, MalformedError
from pipeline.validate import Validation, last_validation, marked
from pipeline.validate.records import read_validation

EARLIER = Path(__file__).with_name("data") / "earlier"


class Found(Record):
    """What stands for a validation."""

    format: int = 1
    rows: tuple[int, ...]


def test_a_validation_leaves_the_manifest_as_it_is(copied: Bundle) -> None:
    before = (copied.folder / "manifest.json").read_bytes()
    copied.add_validation(Found(rows=(1, 2)))
    copied.add_validation(Found(rows=(3,)))
    assert (copied.folder / "manifest.json").read_bytes() == before
    assert json.loads((copied.folder / "validation.json").read_bytes())["rows"] == [3]
    open_bundle(copied.folder).verify()


def test_whoever_reads_while_a_validation_is_added_sees_the_old_or_the_new(
    copied: Bundle,
) -> None:
    """Every reader opens, verifies and reads the validation while another thread writes."""
    validation = Validation(
        model="char-lstm",
        bundle_sha256=copied.digest,
        providers=("cpu",),
        runtimes=(),
        tolerance=FLOAT32,
        versions={},
        machine="one",
        rows=(),
    )
    known = [validation, validation.model_copy(update={"machine": "another " * 10_000})]
    copied.add_validation(known[0])
    done = Event()

    def write() -> None:
        while not done.is_set():
            for one in known:
                copied.add_validation(one)

    writer = Thread(target=write)
    writer.start()
    try:
        for _ in range(60):
            bundle = open_bundle(copied.folder)
            bundle.verify()
            assert read_validation(bundle) in known
    finally:
        done.set()
        writer.join()


def test_a_damaged_validation_is_refused_by_those_who_show_it_and_made_anew(
    copied: Bundle,
) -> None:
    copied.add_validation(Found(rows=(1, 2)))
    path = copied.folder / "validation.json"
    with pytest.raises(MalformedError, match="is not a validation"):
        read_validation(copied)
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"validation\.json was changed"):
        read_validation(copied)
    assert last_validation(copied) is None


def test_a_bundle_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It has no seals, and its manifest lists validation.json."""
    shutil.copytree(EARLIER / "bundle", tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    assert "validation.json" in json.loads((bundle.folder / "manifest.json").read_bytes())["files"]
    bundle.verify()
    found = read_validation(bundle)
    assert found is not None
    assert found.passed
    assert found.bundle_sha256 == bundle.digest
    assert network_of(bundle).config == bundle.manifest.model
    bundle.add_validation(marked(found))
    again = open_bundle(bundle.folder)
    again.verify()
    assert last_validation(again) == marked(found)


@pytest.fixture
def evidence(tiny_bundle: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    """A bundle with evidence that was found here, and settings of its own."""
    bundle = replace(tiny_bundle("sine-rnn"), folder=tmp_path)
    found = read_validation(open_bundle(EARLIER / "bundle"))
    assert found is not None
    bundle.add_validation(marked(found.model_copy(update={"bundle_sha256": bundle.digest})))
    return bundle


def test_evidence_that_came_with_a_bundle_is_not_taken_for_ones_own(
    evidence: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = last_validation(evidence)
    assert own is not None
    forged = own.model_copy(update={"machine": "another"})  # and the mark as it was
    for evidence_of_others in (forged, own.model_copy(update={"mark": None})):
        evidence.add_validation(evidence_of_others)
        assert last_validation(evidence) is None
    evidence.add_validation(own)
    assert last_validation(evidence) == own
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another user"))
    assert last_validation(evidence) is None
    evidence.add_validation(marked(own))
    assert last_validation(evidence) == marked(own)
    key = tmp_path / "another user" / "recurrent-pipeline" / "evidence.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.write_bytes(b"damaged")
    assert last_validation(evidence) is None
    assert last_validation_after_marking(evidence, own) == marked(own)


def last_validation_after_marking(bundle: Bundle, found: Validation) -> Validation | None:
    bundle.add_validation(marked(found))
    return last_validation(bundle)


def test_where_settings_cannot_be_written_evidence_is_found_anew_each_time(
    evidence: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = last_validation(evidence)
    assert own is not None
    (tmp_path / "taken").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "taken"))
    assert marked(own).mark is None
    assert last_validation_after_marking(evidence, own) is None


def test_a_checkpoint_of_an_earlier_version_is_the_one_of_its_bundle() -> None:
    checkpoint = read_checkpoint(EARLIER / "checkpoint")
    load_network(EARLIER / "checkpoint", checkpoint)
    assert open_bundle(EARLIER / "bundle").manifest.checkpoint_sha256 == checkpoint.digest
