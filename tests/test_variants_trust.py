"""Variants of a stranger's module: its TorchScript runs where the user lets it, and only there."""

from pathlib import Path

import pytest
from command_line import Here
from module_bundles import write_module_bundle
from strangers import make_keys
from tiny import installed

from pipeline.bundle import open_bundle
from pipeline.errors import UnsafeError, UsageError
from pipeline.trust import sign_bundle

VARIANT = Path("exported/theirs/int8")


@pytest.fixture
def theirs(tmp_path: Path, small_enough: None) -> Path:
    """The bundle of a module that this user did not export, in ``exported``."""
    return write_module_bundle("module", tmp_path / "exported" / "theirs").folder


def test_a_variant_is_made_on_trust_and_stays_a_strangers(pipeline: Here, theirs: Path) -> None:
    command = ("export", "theirs", "--weights", "int8")
    refused = pipeline(*command)
    assert refused.code == UnsafeError.exit_code
    refused.one_line_error("model.pt is code", "--key", "--trust")
    assert not VARIANT.exists()
    made = pipeline(*command, "--trust")
    assert made.code == 0, made.err
    assert open_bundle(VARIANT).manifest.variant is not None
    asked = ("validate", "theirs/int8", "--runtime", "torchscript", "--runtime", "onnxruntime")
    done = pipeline(*asked)
    done.one_line_error("torchscript did not run", "model.pt is code", "--trust")
    assert done.code == UnsafeError.exit_code
    assert pipeline(*asked, "--trust", "--force").code == 0


def test_a_variant_is_made_of_what_a_trusted_key_has_signed(
    pipeline: Here, theirs: Path, tmp_path: Path
) -> None:
    installed("model_signing")
    private, _ = make_keys(tmp_path)
    command = ("export", "theirs", "--weights", "int8", "--key", "public.pem")
    pipeline(*command).one_line_error("carries no signature", "--trust")
    (theirs / "model.sig").write_bytes(sign_bundle(open_bundle(theirs), private))
    done = pipeline(*command)
    assert done.code == 0, done.err
    assert VARIANT.is_dir()


@pytest.mark.parametrize("options", [("--trust",), ("--key", "public.pem")])
def test_trust_without_a_bundle_to_work_on_is_wrong_usage(
    pipeline: Here, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "public.pem").write_bytes(b"")
    for source in ((), ("net.py:Net", "--weights", "trained.pt")):
        done = pipeline("export", *source, *options)
        assert done.code == UsageError.exit_code
        done.one_line_error(options[0], "give --weights or --format")
