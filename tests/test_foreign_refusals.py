"""Two models that others exported: the files that are refused, and the command's exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import onnx
import onnxruntime
import pytest
from command_line import Here
from foreign_models import (
    Gru,
    compare,
    graph,
    gru_file,
    lstm_file,
    only_row,
    running_sum,
    scripted,
    seeded,
    write,
)
from onnx import ModelProto, parser

from pipeline.bundle import Bundle
from pipeline.errors import MalformedError, UnavailableError, UsageError
from pipeline.validate import Validation
from pipeline.validate.foreign import ForeignFile, validate_pair
from pipeline.validate.foreign.pair import PairChoices


@pytest.fixture(scope="module")
def lstm() -> ModelProto:
    return lstm_file()


@pytest.fixture(scope="module")
def gru() -> ModelProto:
    return gru_file()


def test_files_that_do_not_correspond_are_named(tmp_path: Path, lstm: ModelProto) -> None:
    first, second = write(tmp_path / "a.onnx", running_sum()), write(tmp_path / "b.onnx", lstm)
    with pytest.raises(MalformedError, match=r"a.onnx takes x, state and .*b.onnx takes x, h0, c0"):
        compare(first, second)
    more = graph(
        "sum (float[batch, 2] x, float[batch, 2] state) => (float[batch, 2] stateN) "
        "{ stateN = Add(x, state) }"
    )
    with pytest.raises(MalformedError, match=r"gives y, stateN and .* gives stateN"):
        compare(first, write(tmp_path / "c.onnx", more))
    scalar = scripted(tmp_path / "d.pt", seeded(Gru))
    with pytest.raises(MalformedError, match=r"takes x, h0, c0 and .* takes x, state"):
        compare(scalar, second)
    words = graph("g (string[n] x, float[n] h) => (float[n] h_out) { h_out = Identity(h) }")
    with pytest.raises(MalformedError, match=r"'x' of .* is tensor\(string\)"):
        compare(write(tmp_path / "e.onnx", words), second)


HOSTILE = {
    "domain": (
        '<ir_version: 8, opset_import: ["" : 17, "my.domain" : 1]> '
        "g (float[n] h) => (float[n] h_out) { h_out = my.domain.Foo(h) }",
        "ai.onnx 17, my.domain 1",
    ),
    "opset": (
        '<ir_version: 8, opset_import: ["" : 99]> '
        "g (float[n] h) => (float[n] h_out) { h_out = Relu(h) }",
        "needs opset 99 of ONNX",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_unknown_domain_or_opset_is_named(tmp_path: Path, kind: str) -> None:
    text, message = HOSTILE[kind]
    file = write(tmp_path / "m.onnx", parser.parse_model(text))
    with pytest.raises(MalformedError, match=message):
        compare(file, file)


@pytest.mark.parametrize("data", [b"", b"not a model", b"\0" * 64])
def test_what_is_not_a_model_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    for form, message in (("ONNX", "is not an ONNX file"), ("TorchScript", "is not TorchScript")):
        with pytest.raises(MalformedError, match=message):
            ForeignFile(form, path).open()
        with pytest.raises(MalformedError, match="is missing"):
            ForeignFile(form, tmp_path / "absent").open()


def test_weights_beside_the_file_are_read_or_missed(tmp_path: Path, lstm: ModelProto) -> None:
    path = tmp_path / "big.onnx"
    onnx.save(
        onnx.load_from_string(lstm.SerializeToString()),
        path,
        save_as_external_data=True,
        location="big.data",
        size_threshold=0,
    )
    first = ForeignFile("ONNX", path)
    assert compare(first, write(tmp_path / "b.onnx", lstm)).status == "pass"
    (tmp_path / "big.data").unlink()
    with pytest.raises(MalformedError, match=r"the weights beside .* cannot be read"):
        first.open()


@pytest.fixture
def validate(pipeline: Here) -> Callable[..., tuple[int, str, str]]:
    """``pipeline validate``: exit code, standard output, last line of the errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        done = pipeline("validate", *arguments)
        assert "Traceback" not in done.err
        return done.code, done.out, done.err.splitlines()[-1] if done.err else ""

    return run


def test_the_command_compares_and_reports(
    tmp_path: Path, validate: Callable[..., tuple[int, str, str]], gru: ModelProto
) -> None:
    write(tmp_path / "b.onnx", gru)
    scripted(tmp_path / "a.pt", seeded(Gru))
    pair = ("--torchscript", "a.pt", "--onnx", "b.onnx")
    code, out, error = validate(*pair)
    assert (code, out) == (4, "")
    assert "a.pt is TorchScript" in error
    assert "--trust" in error
    code, out, _ = validate(*pair, "--trust", "--json", "--junit", "j.xml", "--provider", "cpu")
    assert code == 0
    (content,) = json.loads(out)
    assert Validation.model_validate_json(json.dumps(content)).passed
    assert content["model"] == "a.pt → b.onnx"
    assert int(ElementTree.parse(tmp_path / "j.xml").getroot().get("tests", 0)) == 30
    code, out, _ = validate("--onnx", "b.onnx", "--torchscript", "a.pt", "--trust")
    assert code == 0
    assert "TorchScript" in out
    assert "b.onnx → a.pt" in out


def test_the_command_ends_with_the_code_of_what_happened(
    tmp_path: Path, validate: Callable[..., tuple[int, str, str]], gru: ModelProto
) -> None:
    write(tmp_path / "a.onnx", running_sum())
    write(tmp_path / "b.onnx", running_sum("stateN = Sub(x, state)"))
    write(tmp_path / "c.onnx", gru)
    (tmp_path / "text").write_text("hello")
    both = ("--onnx", "a.onnx", "--onnx", "b.onnx")
    for arguments, expected, part in (
        (both, 6, "a.onnx → b.onnx: no match"),
        (("--onnx", "a.onnx"), 2, "two files are compared and 1 are given"),
        ((*both, "--onnx", "c.onnx"), 2, "3 are given"),
        (("--state", "none"), 2, "0 are given"),
        ((*both, "sine-rnn"), 2, "names"),
        ((*both, "--report", "r.html"), 2, "--report"),
        ((*both, "--self-test"), 2, "--self-test"),
        ((*both, "--state", "stat:stateN"), 2, "did you mean 'state'"),
        ((*both, "--provider", "cuda"), 7, "provider 'cuda' is not there"),
        (("--onnx", "a.onnx", "--onnx", "text"), 3, "text is not an ONNX file"),
        (("--torchscript", "text", "--onnx", "a.onnx", "--trust"), 3, "text is not TorchScript"),
        (("--torchscript", "t", "--torchscript", "t"), 4, "--trust"),
    ):
        code, _, error = validate(*arguments)
        assert (code, part in error) == (expected, True), error


def test_two_torchscript_files_are_refused(tmp_path: Path) -> None:
    file = scripted(tmp_path / "a.pt", seeded(Gru))
    with pytest.raises(UsageError, match="say nothing of types and shapes"):
        compare(file, file)


def test_the_torchscript_file_of_a_bundle_of_our_own_needs_no_trust_wherever_it_lies(
    tmp_path: Path,
    validate: Callable[..., tuple[int, str, str]],
    tiny_bundle: Callable[[str], Bundle],
) -> None:
    folder = tiny_bundle("sine-rnn").folder
    pair = ("--torchscript", f"{folder}/model.pt", "--onnx", f"{folder}/onnx/model.onnx")
    code, _, error = validate(*pair)
    assert code == 0, error
    (tmp_path / "alone.pt").write_bytes((folder / "model.pt").read_bytes())
    code, _, error = validate("--torchscript", "alone.pt", *pair[2:])
    assert code == 4
    assert "alone.pt is TorchScript" in error


def test_a_provider_that_is_not_there_is_a_row_that_did_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    file = write(tmp_path / "a.onnx", running_sum())
    row = only_row(validate_pair(file, file, ("cuda",), PairChoices()))
    assert row.status == "not run"
    assert "make EXTRA=gpu" in row.reason
    assert not validate_pair(file, file, ("cuda",), PairChoices()).passed
    assert UnavailableError.exit_code == 7
