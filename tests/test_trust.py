"""TorchScript runs if we would write the same, a trusted key signed it, or the user says so."""

import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command_line import ROOT, Here
from family_networks import OPTIONS, network
from hostile import CANARY
from strangers import hostile_torchscript, make_keys, of_another_hand, with_torchscript
from tiny import installed, refused

from pipeline.bundle import Bundle, open_bundle
from pipeline.config import PRESETS
from pipeline.contract.files import TORCHSCRIPT_FILE
from pipeline.embed import replay, targets
from pipeline.errors import UnsafeError
from pipeline.export.network.torchscript import to_torchscript
from pipeline.model import Network
from pipeline.runtimes import catalog
from pipeline.trust import PublicKey, Trust, Verdict, sign_bundle
from pipeline.trust.decision import why_not_ours
from pipeline.validate import last_validation

Bundles = Callable[[str], Bundle]


@pytest.fixture
def evil(pipeline: Here, tmp_path: Path, tiny_bundle: Bundles) -> Path:
    """A stranger's bundle in ``exported/evil``; when the test is over its canary must live."""
    return with_torchscript(
        tiny_bundle("sine-rnn"), tmp_path / "exported" / "evil", hostile_torchscript()
    )


@pytest.fixture
def other(pipeline: Here, tmp_path: Path, tiny_bundle: Bundles) -> Path:
    """A harmless bundle in ``exported/other`` whose TorchScript is not in our bytes."""
    bundle = tiny_bundle("sine-rnn")
    data = of_another_hand(bundle.read(TORCHSCRIPT_FILE))
    return with_torchscript(bundle, tmp_path / "exported" / "other", data)


def no_canary() -> bool:
    return not Path(CANARY).exists()


def test_the_canary_dies_where_such_a_file_is_loaded_without_care(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = hostile_torchscript()
    monkeypatch.chdir(tmp_path)
    assert no_canary()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        module = torch.jit.load(io.BytesIO(data))
    assert Path(CANARY).stat().st_size == 4
    Path(CANARY).unlink()
    module(torch.ones(1), torch.ones(1))
    assert Path(CANARY).stat().st_size == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("validate", "evil"), 0),
        (("validate", "evil", "--force"), 0),
        (("validate", "evil", "--runtime", "torchscript"), 4),
        (("validate", "evil", "--runtime", "cpp-libtorch"), 4),
        (("validate", "evil", "--embedded"), 0),
        (("validate", "--torchscript", "exported/evil/model.pt", "--onnx", "m.onnx"), 4),
        (("validate", "--onnx", "m.onnx", "--torchscript", "exported/evil/model.pt"), 4),
        (("validate", "--torchscript", "link.pt", "--onnx", "m.onnx"), 4),
        (("validate", "--torchscript", "copy.pt", "--onnx", "m.onnx"), 4),
        (("embed", "evil", "cpp-libtorch", "--out", "project"), 4),
        (("benchmark", "embed", "evil", "--target", "cpp-libtorch"), 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_code_of_a_stranger_does_not_run(
    pipeline: Here,
    evil: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
) -> None:
    monkeypatch.setattr(catalog, "ALL", ("torchscript",))
    if "--embedded" in arguments:
        alone = {"cpp-libtorch": targets.TARGETS["cpp-libtorch"]}
        monkeypatch.setattr(targets, "RUN_HERE", alone)
    Path("m.onnx").write_bytes((evil / "onnx" / "model.onnx").read_bytes())
    Path("link.pt").symlink_to(evil / "model.pt")
    Path("copy.pt").write_bytes((evil / "model.pt").read_bytes())
    done = pipeline(*arguments)
    assert done.code == code, done.err
    if code:
        done.one_line_error("is", "code", "--trust")
    else:
        assert "model.pt is code, and is not what tracing its weights gives" in done.err
    assert no_canary()
    assert not Path("project").exists()


def test_the_rest_of_a_strangers_bundle_is_validated_and_its_row_says_why_not(
    pipeline: Here, evil: Path
) -> None:
    names = ("--runtime", "onnxruntime", "--runtime", "torchscript")
    done = pipeline("validate", "evil", *names, "--json")
    done.one_line_error("torchscript did not run", "model.pt is code", "--key", "--trust")
    assert done.code == 4
    assert no_canary()
    (content,) = json.loads(done.out)
    rows = [row for row in content["rows"] if row["provider"] == "cpu"]
    found = {(row["runtime"].split()[0], row["graph"]): row for row in rows}
    assert {key: row["status"] for key, row in found.items()} == {
        ("PyTorch", "model"): "pass",
        ("torchscript", "model"): "not run",
        ("onnxruntime", "model"): "pass",
        ("onnxruntime", "forecast"): "pass",
    }
    row = found["torchscript", "model"]
    assert row["unsafe"]
    assert "somebody else made it" in row["reason"]
    assert not row["cases"]
    again = pipeline("validate", "evil", *names)
    assert "evil: unchanged" in again.err
    assert again.code == 4
    assert no_canary()


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "mine", "--runtime", "torchscript"),
        ("validate", "mine", "--runtime", "torchscript", "--trust"),
        ("validate", "--torchscript", "exported/mine/model.pt", "--onnx", "m.onnx"),
        ("embed", "mine", "cpp-libtorch", "--out", "project"),
    ],
    ids=" ".join,
)
def test_code_that_was_put_in_place_of_ours_does_not_run(
    pipeline: Here, tmp_path: Path, tiny_bundle: Bundles, arguments: tuple[str, ...]
) -> None:
    folder = tmp_path / "exported" / "mine"
    shutil.copytree(tiny_bundle("sine-rnn").folder, folder)
    Path("m.onnx").write_bytes((folder / "onnx" / "model.onnx").read_bytes())
    (folder / TORCHSCRIPT_FILE).write_bytes(hostile_torchscript())
    done = pipeline(*arguments)
    assert done.code == 5, done.err
    done.one_line_error("model.pt was changed")
    assert no_canary()


def test_what_did_not_run_before_does_not_fail_a_command_that_did_not_ask_for_it(
    pipeline: Here, evil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "ALL", ("torchscript",))
    assert pipeline("validate", "evil").code == 0
    found = pipeline("validate", "evil", "--runtime", "python", "--json")
    assert found.code == 0, found.err
    rows = [row for row in json.loads(found.out)[0]["rows"] if row["provider"] == "cpu"]
    assert [row["status"] for row in rows] == ["pass", "not run", "pass"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_bundle_of_our_own_needs_nobodys_word(tiny_bundle: Bundles, preset: str) -> None:
    assert Trust().judge(tiny_bundle(preset)) == Verdict()
    assert Trust(everything=True).judge(tiny_bundle(preset)) == Verdict()


@pytest.mark.parametrize("text", [False, True], ids=["series", "text"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_tracing_the_same_weights_anew_gives_the_same_bytes(
    options: dict[str, object], text: bool
) -> None:
    first = network(options, text)
    file = to_torchscript(first)
    to_torchscript(network({"cell": "gru"}))
    second = Network(first.config, scaler=first.scaler, vocabulary=first.vocabulary)
    second.load_state_dict({name: y.clone() for name, y in first.state_dict().items()})
    assert to_torchscript(second.eval()) == file


def test_a_trace_is_the_same_in_another_process_on_a_lesser_processor(tiny_bundle: Bundles) -> None:
    folders = [tiny_bundle(preset).folder for preset in PRESETS]
    lines = (
        "import sys, pathlib",
        "from pipeline.bundle import open_bundle",
        "from pipeline.trust.decision import why_not_ours",
        "print([why_not_ours(open_bundle(pathlib.Path(name))) for name in sys.argv[1:]])",
    )
    lesser = {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), *map(str, reversed(folders))],
        env=os.environ | lesser | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str([None] * len(folders))


def test_a_trace_by_another_torch_is_told_from_a_trace_by_somebody_else(
    tmp_path: Path, tiny_bundle: Bundles
) -> None:
    bundle = tiny_bundle("char-gru")
    data = of_another_hand(bundle.read(TORCHSCRIPT_FILE))
    old = open_bundle(with_torchscript(bundle, tmp_path / "old", data, torch_version="2.12.0"))
    with refused(UnsafeError, "traced by torch 2.12.0", f"this is {torch.__version__}", "anew"):
        Trust().require(old)
    same = open_bundle(with_torchscript(bundle, tmp_path / "same", data))
    with refused(UnsafeError, "somebody else made it"):
        Trust().require(same)


def test_numbers_that_cannot_be_traced_are_told(tiny_bundle: Bundles) -> None:
    bundle = tiny_bundle("sine-gru")
    endless = bundle.manifest.model_copy(update={"spread": (float("inf"),)})
    why = why_not_ours(replace(bundle, manifest=endless))
    assert why is not None
    assert why.startswith("its weights cannot be traced anew")


def test_one_command_traces_a_bundle_once(
    tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = []
    monkeypatch.setattr(
        "pipeline.trust.decision.why_not_ours", lambda bundle: traced.append(bundle.folder)
    )
    trust = Trust()
    for _ in range(3):
        for preset in ("sine-rnn", "char-rnn"):
            assert trust.judge(tiny_bundle(preset)) == Verdict()
    assert len(traced) == 2


def test_trust_and_a_trusted_key_let_it_run_and_the_row_says_so(
    pipeline: Here, other: Path, tmp_path: Path
) -> None:
    installed("model_signing")
    private, _ = make_keys(tmp_path)
    make_keys(tmp_path, "strange-")
    command = ("validate", "other", "--runtime", "torchscript", "--json")
    pipeline(*command).one_line_error("somebody else made it", "--trust")
    (other / "model.sig").write_bytes(sign_bundle(open_bundle(other), private))
    done = pipeline(*command, "--key", "strange-public.pem")
    done.one_line_error("does not verify with strange-public.pem", "--trust")
    assert done.code == 4
    for option, word in (
        (("--key", "public.pem"), "model.pt runs since public.pem signed it"),
        (("--trust", "--force"), "model.pt runs on --trust"),
        (("--trust", "--force", "--key", "strange-public.pem"), "model.pt runs on --trust"),
    ):
        done = pipeline(*command, *option)
        assert done.code == 0, done.err
        rows = json.loads(done.out)[0]["rows"]
        own = [row for row in rows if row["format"] == "TorchScript" and row["provider"] == "cpu"]
        assert [(row["graph"], row["status"]) for row in own] == [
            ("model", "pass"),
            ("forecast", "pass"),
        ]
        for row in own:
            assert row["note"] == word
    found = last_validation(open_bundle(other))
    assert found is not None
    assert found.passed


def test_a_project_gets_torchscript_that_is_trusted(
    pipeline: Here, evil: Path, other: Path, tmp_path: Path
) -> None:
    installed("model_signing")
    private, _ = make_keys(tmp_path)
    command = ("embed", "other", "cpp-libtorch", "--out", "signed", "--key", "public.pem")
    pipeline(*command).one_line_error("carries no signature", "pipeline sign")
    (other / "model.sig").write_bytes(sign_bundle(open_bundle(other), private))
    assert pipeline(*command).code == 0
    assert Path("signed/model/model.pt").read_bytes() == (other / "model.pt").read_bytes()
    # What is handed on does not run here, but it would there.
    assert pipeline("embed", "evil", "cpp-libtorch", "--out", "evil", "--trust").code == 0
    assert no_canary()


def test_every_target_without_torchscript_takes_a_strangers_bundle(
    pipeline: Here, evil: Path
) -> None:
    for target in set(targets.TARGETS) - {"cpp-libtorch"}:
        assert pipeline("embed", "evil", target, "--out", target).code == 0
        assert not list(Path(target).rglob("model.pt"))
    assert no_canary()


def test_the_row_of_an_embedded_client_says_that_it_did_not_run(evil: Path) -> None:
    with replay.Workshop("cpp-libtorch") as workshop:
        row = workshop.replay(open_bundle(evil))
        assert not workshop.folder.exists()
    assert (row.status, row.unsafe) == ("not run", True)
    assert "model.pt is code" in row.reason


def test_a_file_of_a_signed_bundle_is_compared_wherever_it_lies(
    pipeline: Here, other: Path, tmp_path: Path
) -> None:
    installed("model_signing")
    private, public = make_keys(tmp_path)
    other = other.rename(tmp_path / "elsewhere")
    pair = ("--torchscript", f"{other}/model.pt", "--onnx", f"{other}/onnx/model.onnx")
    assert pipeline("validate", *pair).code == 4
    (other / "model.sig").write_bytes(sign_bundle(open_bundle(other), private))
    assert pipeline("validate", *pair, "--key", str(public)).code == 0
    assert PublicKey(public).path == public
