"""Front matter before a model card: neither the digest of the card nor a signature covers it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from strangers import make_keys
from tiny import installed, refused

from pipeline.bundle import Bundle, open_bundle
from pipeline.contract.files import CARD_FILE, SIGNATURE_FILE
from pipeline.contract.front_matter import with_front_matter
from pipeline.errors import IntegrityError
from pipeline.trust import PublicKey, sign_bundle

PAGE = "license: mit\ntags:\n- onnx"


@pytest.fixture
def folder(tiny_bundle: Callable[[str], Bundle], tmp_path: Path) -> Path:
    """A copy of a bundle, as an export writes it."""
    return shutil.copytree(tiny_bundle("sine-rnn").folder, tmp_path / "sine-rnn")


def test_an_export_writes_a_card_without_front_matter(folder: Path) -> None:
    assert (folder / CARD_FILE).read_bytes().startswith(b"# ")


def test_a_signature_holds_when_a_page_gets_front_matter_and_not_when_the_card_changes(
    folder: Path, tmp_path: Path
) -> None:
    installed("model_signing")
    make_keys(tmp_path)
    bundle, card = open_bundle(folder), (folder / CARD_FILE).read_bytes()
    (folder / SIGNATURE_FILE).write_bytes(sign_bundle(bundle, tmp_path / "private.pem"))
    key = PublicKey(tmp_path / "public.pem")
    for page in (PAGE, "license: apache-2.0"):
        (folder / CARD_FILE).write_bytes(with_front_matter(page, card))
        key.verify(open_bundle(folder))
    (folder / CARD_FILE).write_bytes(with_front_matter(PAGE, card + b"another word\n"))
    with refused(IntegrityError, CARD_FILE, "was changed"):
        key.verify(open_bundle(folder))


def test_what_stands_between_two_lines_further_down_is_of_the_card(folder: Path) -> None:
    card = (folder / CARD_FILE).read_bytes()
    (folder / CARD_FILE).write_bytes(b"\n" + with_front_matter(PAGE, card))
    with refused(IntegrityError, CARD_FILE, "was changed"):
        open_bundle(folder).verify()
