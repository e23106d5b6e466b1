"""Variants are proven as any bundle is, found by name, and made without Python."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Here
from embedded import bundle_of
from tiny import edit_sealed, installed, refused, validation_of
from torch import Tensor, nn

import pipeline as api
from pipeline.bundle import Bundle, open_bundle
from pipeline.bundle.variant import build_variant
from pipeline.contract.bundle_weights import bundle_weights
from pipeline.contract.network import stored_network
from pipeline.contract.small_weights import (
    SmallType,
)
from pipeline.errors import MalformedError, UnsafeError, UsageError
from pipeline.lookup import find_models
from pipeline.run.export import export_variant
from pipeline.runtimes.catalog import RUNTIMES
from pipeline.trust import Trust

pytestmark = pytest.mark.usefixtures("small_enough")
KINDS: tuple[SmallType, ...] = ("float16", "int8", "int4")


@pytest.mark.parametrize(
    ("preset", "kind"), [("sine-rnn", "int8"), ("char-gru", "int4"), ("char-lstm", "int8")]
)
def test_a_variant_passes_as_any_bundle_does(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, preset: str, kind: SmallType
) -> None:
    source = tiny_bundle(preset)
    folder = Path(shutil.copytree(source.folder, tmp_path / preset))
    variant = export_variant(open_bundle(folder), kind)
    assert variant.folder == folder / kind
    assert variant.name == f"{preset}-{kind}"
    record = variant.manifest.variant
    assert record is not None
    assert record.of_sha256 == source.digest
    assert {weight.type for weight in record.stored.values()} >= {kind}
    for validation in (
        validation_of(variant),
        validation_of(variant, graph="generate" if "char" in preset else "forecast"),
    ):
        assert [row.status for row in validation.rows] == ["pass"] * len(validation.rows)
        assert validation.rows
    held = stored_network(variant)
    assert {name: one.values.tobytes() for name, one in held.small.items()} == {
        name: held.weights[name].tobytes() for name in held.small
    }
    open_bundle(folder).verify()  # its float32 bundle is as it was
    assert open_bundle(folder).digest == source.digest
    assert {**build_variant(source, kind)} == {
        name: (variant.folder / name).read_bytes()
        for name in [*variant.manifest.files, "manifest.json"]
    }


@pytest.mark.parametrize("kind", ["projected", "both directions"])
def test_projections_and_both_directions_have_variants(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, kind: str
) -> None:
    folder = Path(shutil.copytree(bundle_of(kind, tmp_path_factory), tmp_path / "model"))
    variant = export_variant(open_bundle(folder), "int4")
    assert variant.manifest.variant is not None
    assert "int4" in {one.type for one in variant.manifest.variant.stored.values()}
    rows = validation_of(variant).rows
    assert [row.status for row in rows] == ["pass"] * len(rows)


@pytest.mark.parametrize("name", ["reference", "openvino", "tract"])
def test_every_runtime_that_runs_a_model_runs_its_variant(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, name: str
) -> None:
    if RUNTIMES[name].optional:
        installed(RUNTIMES[name].package)
    folder = Path(shutil.copytree(tiny_bundle("char-lstm").folder, tmp_path / "char-lstm"))
    for kind in KINDS:
        rows = validation_of(export_variant(open_bundle(folder), kind), (name,)).rows
        assert [row.reason for row in rows if row.status != "pass"] == []


class Denoiser(nn.Module):
    """A convolution, a layer in both directions' order of gates, and a projected head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gru, self.out = nn.Conv1d(3, 7, 1), nn.GRU(7, 9, 2), nn.Linear(9, 2)
        self.h: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.transpose(1, 2)).permute(2, 0, 1)
        y, self.h = self.gru(y, self.h)
        result: Tensor = self.out(y).transpose(0, 1)
        return result


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_has_variants_without_its_python(tmp_path: Path, kind: SmallType) -> None:
    torch.manual_seed(0)
    axes = {"x": {0: "batch", 1: "time"}}
    bundle = api.export(
        Denoiser(), torch.randn(2, 5, 3), name="denoiser", axes=axes, exported=tmp_path
    )
    variant = export_variant(bundle, kind)
    record = variant.manifest.variant
    assert record is not None
    assert {name for name, one in record.stored.items() if one.type == kind} == {
        *(f"gru.weight_{of}_l{layer}" for of in ("ih", "hh") for layer in range(2)),
        "conv.weight",
        "out.weight",
    } - ({"conv.weight"} if kind != "float16" else set())
    rows = validation_of(variant).rows
    assert [(row.status, row.reason) for row in rows if row.status != "pass"] == []
    arrays_ = bundle_weights(variant).arrays
    original = Denoiser().state_dict()
    assert {name: y.shape for name, y in arrays_.items()} == {
        name: tuple(y.shape) for name, y in original.items()
    }
    stream = variant.stream()
    assert np.isfinite(stream(np.zeros((1, 4, 3), np.float32))).all()


def test_the_torchscript_of_a_strangers_module_is_not_run_for_a_variant(
    pipeline: Here, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    api.export(
        Denoiser(),
        torch.randn(2, 5, 3),
        name="denoiser",
        axes={"x": {0: "batch", 1: "time"}},
        exported=tmp_path / "exported",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another user"))
        result = pipeline("export", "denoiser", "--weights", "int8")
    assert result.code == UnsafeError.exit_code
    result.one_line_error("model.pt is code")
    assert not (tmp_path / "exported" / "denoiser" / "int8").exists()


def test_variants_are_found_by_name_and_listed_beside_their_bundle(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, pipeline: Here
) -> None:
    shutil.copytree(tiny_bundle("sine-gru").folder, tmp_path / "exported" / "sine-gru")
    result = pipeline("export", "--weights", "int8")
    assert result.code == 0, result.err
    assert "sine-gru/int8" in result.out
    assert "unchanged" in pipeline("export", "sine-gru", "--weights", "int8").err
    assert api.load("sine-gru/int8").name == "sine-gru-int8"
    root = Path("exported")
    known = find_models(root, "manifest.json", (), "export", variants=True)
    assert known == [root / "sine-gru", root / "sine-gru" / "int8"]
    assert find_models(root, "manifest.json", (), "export") == [root / "sine-gru"]
    shown = pipeline("inspect").out
    assert "sine-gru-int8" in shown
    assert "RMSE, one step" in shown
    assert Trust().judge(open_bundle(root / "sine-gru" / "int8")).refusal == ""
    with refused(UsageError, "is a variant"):
        build_variant(open_bundle(root / "sine-gru" / "int8"), "int4")


def test_what_weights_means_is_told_by_what_is_named(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, pipeline: Here
) -> None:
    shutil.copytree(tiny_bundle("sine-gru").folder, tmp_path / "exported" / "sine-gru")
    result = pipeline("export", "sine-gru", "--weights", "int6")
    assert result.code == UsageError.exit_code
    result.one_line_error("'int6'", "int8")
    result = pipeline("export", "sine-gru", "--weights", "trained.pt")
    wrong = pipeline("export", "sine-gru", "--weights", "int8", "--opset", "20")
    wrong.one_line_error("--opset 20", "opset of its bundle")
    result.one_line_error("trained.pt is a file", "mynet.py:Denoiser", "float16, int8, int4")


def test_an_export_says_which_variants_it_removes(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, pipeline: Here
) -> None:
    shutil.copytree(tiny_checkpoint("sine-rnn"), tmp_path / "checkpoints" / "sine-rnn")
    assert pipeline("export").code == 0
    assert pipeline("export", "--weights", "float16").code == 0
    assert "unchanged" in pipeline("export").err
    assert (tmp_path / "exported" / "sine-rnn" / "float16").is_dir()
    assert "sine-rnn/float16: removed" in pipeline("export", "--force").err
    assert not (tmp_path / "exported" / "sine-rnn" / "float16").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one["stored"].update(more={"type": "int8", "shape": [3, 3]}), "no weight of"),
        (lambda one: one["stored"]["head.weight"].update(type="int8"), "does not fit"),
        (lambda one: one["scores"][0].update(nearest=None, compensated=None), "lacks a number"),
        (lambda one: one["stored"]["head.bias"].update(type="int4"), "has no rows"),
    ],
)
def test_a_manifest_that_tells_of_other_weights_is_refused(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, change: Any, words: str
) -> None:
    folder = Path(shutil.copytree(tiny_bundle("sine-rnn").folder, tmp_path / "sine-rnn"))
    variant = export_variant(open_bundle(folder), "float16")
    edit_sealed(variant.folder / "manifest.json", lambda content: change(content["variant"]))
    with refused(MalformedError, words):
        stored_network(open_bundle(variant.folder))
