"""Signatures of bundles: made with a private key, verified with the public one."""

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from command_line import Here
from strangers import make_keys, of_another_hand, with_torchscript
from tiny import installed, refused

from pipeline.bundle import Bundle, open_bundle
from pipeline.contract.files import ONNX_FILE, SIGNATURE_FILE, TORCHSCRIPT_FILE
from pipeline.errors import IntegrityError
from pipeline.trust import PublicKey, sign_bundle

Bundles = Callable[[str], Bundle]
SIGN = ("sign", "mine", "--key", "private.pem")
VERIFY = ("verify", "mine", "--key", "public.pem")


@pytest.fixture
def library() -> Any:
    return installed("model_signing")


@pytest.fixture
def mine(pipeline: Here, library: Any, tmp_path: Path, tiny_bundle: Bundles) -> Path:
    """A bundle in ``exported/mine``, not signed yet, and a pair of keys."""
    make_keys(tmp_path)
    folder = tmp_path / "exported" / "mine"
    shutil.copytree(tiny_bundle("sine-rnn").folder, folder)
    return folder


def test_what_is_signed_verifies_until_a_file_of_it_changes(pipeline: Here, mine: Path) -> None:
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    done = pipeline(*SIGN, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == [{"name": "mine", "signature": "exported/mine/model.sig"}]
    after = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    signature = after.pop(mine / SIGNATURE_FILE)
    assert after == before
    assert json.loads(signature)["dsseEnvelope"]["signatures"]
    done = pipeline(*VERIFY)
    assert done.code == 0, done.err
    assert "mine: as signed by the owner of public.pem" in done.err
    assert pipeline("inspect", "mine").code == 0
    assert pipeline("validate", "mine", "--runtime", "reference").code == 0
    assert pipeline(*VERIFY).code == 0
    for name in (ONNX_FILE, "README.md"):
        data = (mine / name).read_bytes()
        (mine / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        done = pipeline(*VERIFY)
        assert done.code == 5
        done.one_line_error(name, "was changed")
        (mine / name).write_bytes(data)
    assert pipeline(*VERIFY).code == 0


def test_a_path_is_signed_like_a_name_and_a_link_is_followed_to_the_folder(
    pipeline: Here, mine: Path
) -> None:
    Path("alias").symlink_to(mine)
    assert pipeline("sign", "alias/", "--key", "private.pem").code == 0
    assert pipeline("verify", str(mine), "--key", "public.pem").code == 0
    assert Path("alias").is_symlink()


def test_new_digests_do_not_mend_a_signature(mine: Path, tmp_path: Path) -> None:
    bundle = open_bundle(mine)
    data = sign_bundle(bundle, tmp_path / "private.pem")
    other = with_torchscript(
        bundle, tmp_path / "other", of_another_hand(bundle.read(TORCHSCRIPT_FILE))
    )
    (other / SIGNATURE_FILE).write_bytes(data)
    key = PublicKey(tmp_path / "public.pem")
    with refused(IntegrityError, "other/model.sig does not verify with", "public.pem"):
        key.verify(open_bundle(other))


def test_a_signature_of_one_bundle_does_not_fit_another(
    mine: Path, tmp_path: Path, tiny_bundle: Bundles
) -> None:
    data = sign_bundle(tiny_bundle("sine-gru"), tmp_path / "private.pem")
    (mine / SIGNATURE_FILE).write_bytes(data)
    with refused(IntegrityError, "does not verify"):
        PublicKey(tmp_path / "public.pem").verify(open_bundle(mine))


@pytest.mark.parametrize("name", [TORCHSCRIPT_FILE, "manifest.json", "onnx"])
def test_a_signature_that_leaves_a_file_out_does_not_verify(
    library: Any, mine: Path, tmp_path: Path, name: str
) -> None:
    """The library would look away where the signature says so."""
    hashing = library.hashing.Config().set_ignored_paths(paths=[name, SIGNATURE_FILE])
    config = library.signing.Config().use_elliptic_key_signer(private_key=tmp_path / "private.pem")
    config.set_hashing_config(hashing).sign(mine, mine / SIGNATURE_FILE)
    own = library.verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "public.pem")
    own.verify(mine, mine / SIGNATURE_FILE)
    with refused(IntegrityError, "does not verify"):
        PublicKey(tmp_path / "public.pem").verify(open_bundle(mine))


def test_the_library_alone_verifies_the_folder_and_signs_it_as_well(
    library: Any, mine: Path, tmp_path: Path
) -> None:
    (mine / "validation.json").write_text("{}")
    (mine / SIGNATURE_FILE).write_bytes(sign_bundle(open_bundle(mine), tmp_path / "private.pem"))
    own = library.verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "public.pem")
    own.verify(mine, mine / SIGNATURE_FILE)
    (mine / "validation.json").write_text("{ }")
    own.verify(mine, mine / SIGNATURE_FILE)
    (mine / "validation.json").unlink()
    (mine / SIGNATURE_FILE).unlink()
    config = library.signing.Config().use_elliptic_key_signer(private_key=tmp_path / "private.pem")
    config.sign(mine, mine / SIGNATURE_FILE)
    PublicKey(tmp_path / "public.pem").verify(open_bundle(mine))


def test_files_that_are_not_listed_are_neither_signed_nor_in_the_way(
    mine: Path, tmp_path: Path
) -> None:
    (mine / "notes.txt").write_text("before")
    (mine / SIGNATURE_FILE).write_bytes(sign_bundle(open_bundle(mine), tmp_path / "private.pem"))
    (mine / "notes.txt").unlink()
    (mine / "more.txt").symlink_to("/dev/zero")
    PublicKey(tmp_path / "public.pem").verify(open_bundle(mine))


def test_no_network_is_used(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> NoReturn:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    (mine / SIGNATURE_FILE).write_bytes(sign_bundle(open_bundle(mine), tmp_path / "private.pem"))
    PublicKey(tmp_path / "public.pem").verify(open_bundle(mine))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("verify", "mine", "--key", "public.pem"), 5, ["carries no signature", "pipeline sign"]),
        (("verify", "signed", "--key", "strange-public.pem"), 5, ["does not verify with strange"]),
        (("verify", "garbage", "--key", "public.pem"), 5, ["does not verify"]),
        (("verify", "deep", "--key", "public.pem"), 5, ["does not verify"]),
        (("verify", "empty", "--key", "public.pem"), 5, ["does not verify"]),
        (("verify", "huge", "--key", "public.pem"), 3, ["model.sig", "bytes"]),
        (("verify", "pipe", "--key", "public.pem"), 3, ["model.sig"]),
        (("verify", "mine", "--key", "private.pem"), 3, ["private.pem holds no public key"]),
        (("verify", "mine", "--key", "text.pem"), 3, ["text.pem holds no public key", "--help"]),
        (("verify", "mine", "--key", "rsa.pem"), 3, ["rsa.pem holds no public key", "P-256"]),
        (("verify", "mine", "--key", "/dev/zero"), 3, ["/dev/zero is no file"]),
        (("verify", "mine", "--key", "exported"), 3, ["exported is no file"]),
        (("verify", "mine", "--key", "absent.pem"), 2, ["--key absent.pem: there is no such file"]),
        (("verify", "mine"), 2, ["--key"]),
        (("verify", "--key", "public.pem"), 2, ["NAME"]),
        (("verify", "min", "--key", "public.pem"), 2, ["did you mean 'mine'"]),
        (("sign", "mine", "--key", "public.pem"), 3, ["public.pem holds no private key"]),
        (("sign", "mine", "--key", "text.pem"), 3, ["text.pem holds no private key"]),
        (("sign", "mine", "--key", "locked-private.pem"), 3, ["by a password", "openssl ec -in"]),
        (("sign", "mine", "--key", "absent.pem"), 2, ["--key absent.pem: there is no such file"]),
        (("sign", "changed", "--key", "private.pem"), 5, ["golden.json was changed"]),
        (("validate", "mine", "--key", "text.pem"), 3, ["text.pem holds no public key"]),
        (
            ("validate", "mine", "--key", "absent.pem"),
            2,
            ["--key absent.pem: there is no such file"],
        ),
        (("embed", "mine", "c", "--out", "c", "--key", "text.pem"), 3, ["holds no public key"]),
        (("benchmark", "embed", "mine", "--key", "text.pem"), 3, ["holds no public key"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_signed_or_verified_is_one_line(
    pipeline: Here, mine: Path, arguments: tuple[str, ...], code: int, words: list[str]
) -> None:
    here = Path.cwd()
    name = arguments[2] if arguments[0] == "benchmark" else arguments[1]
    make_keys(here, "strange-")
    make_keys(here, "locked-", b"secret")
    _make_rsa_key(here / "rsa.pem")
    (here / "text.pem").write_text("hello")
    if name not in ("mine", "min", "--key"):
        shutil.copytree(mine, mine.with_name(name))
    signature = mine.with_name(name) / SIGNATURE_FILE
    if name == "signed":
        signature.write_bytes(sign_bundle(open_bundle(mine), here / "private.pem"))
    elif name in (contents := {"garbage": "[1, 2", "deep": "[" * 100_000, "empty": ""}):
        signature.write_text(contents[name])
    elif name == "huge":
        with signature.open("wb") as file:
            file.truncate(20 * 2**30)
    elif name == "pipe":
        os.mkfifo(signature)
    elif name == "changed":
        (signature.parent / "golden.json").write_text("{}")
    done = pipeline(*arguments)
    assert done.code == code, done.err
    done.one_line_error(*words)
    assert len(done.err) < 600
    assert not (mine / SIGNATURE_FILE).exists()


def _make_rsa_key(path: Path) -> None:
    serialization = installed("cryptography.hazmat.primitives.serialization")
    rsa = installed("cryptography.hazmat.primitives.asymmetric.rsa")
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))


def test_a_signature_behind_a_link_is_not_read(pipeline: Here, mine: Path, tmp_path: Path) -> None:
    signature = sign_bundle(open_bundle(mine), tmp_path / "private.pem")
    (tmp_path / "elsewhere").write_bytes(signature)
    (mine / SIGNATURE_FILE).symlink_to(tmp_path / "elsewhere")
    done = pipeline(*VERIFY)
    assert done.code == 4
    done.one_line_error("model.sig is a link")


def test_a_library_that_is_missing_is_told_with_the_command_that_installs_it(
    pipeline: Here, tmp_path: Path, tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    Path("key.pem").write_text("never read")
    folder = str(tiny_bundle("sine-rnn").folder)
    for command in (("sign", folder), ("verify", folder), ("validate", folder)):
        done = pipeline(*command, "--key", "key.pem")
        assert done.code == 7
        done.one_line_error(
            f"{sys.executable} -m pip install 'model-signing>=1.1' 'pyopenssl>=25.0'"
        )
