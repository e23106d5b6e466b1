"""The runtime wasmtime: a module that is built for each bundle, which does not hold it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded import bundle_of
from module_bundles import write_module_bundle
from tiny import installed, tool, validation_of

from pipeline.bundle import Bundle, open_bundle
from pipeline.embed.wasm.module import wasm_module
from pipeline.runtimes.base import Absent
from pipeline.runtimes.catalog import Runtimes


@pytest.fixture(autouse=True)
def tools() -> None:
    installed("wasmtime")
    for name in ("make", "clang", "wasm-ld"):
        tool(name)


@pytest.fixture
def runtimes() -> Iterator[Runtimes]:
    with Runtimes(("wasmtime",), ("cpu",)) as opened:
        yield opened


def why_absent(runtimes: Runtimes, bundle: Bundle) -> str:
    (absent,) = runtimes.open(bundle)
    assert isinstance(absent, Absent)
    return absent.reason


@pytest.mark.parametrize("kind", ["projected", "two columns"])
def test_other_networks_with_a_state_pass(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = open_bundle(bundle_of(kind, tmp_path_factory))
    _, row = validation_of(bundle, ("wasmtime",)).rows
    assert (row.format, row.status, row.reason) == ("WebAssembly", "pass", "")
    assert row.state_error is not None


def test_two_builds_give_the_same_module(tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = open_bundle(bundle_of("series", tmp_path_factory))
    module = wasm_module(bundle)
    assert module.startswith(b"\0asm")
    assert wasm_module(bundle) == module
    assert "model.wasm" not in bundle.manifest.files


def test_a_network_that_reads_whole_sequences_is_a_row_that_says_so(
    runtimes: Runtimes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = open_bundle(bundle_of("both directions", tmp_path_factory))
    assert "whole sequences" in why_absent(runtimes, bundle)


def test_a_module_is_a_row_that_says_so(runtimes: Runtimes, tmp_path: Path) -> None:
    write_module_bundle("stream", tmp_path)
    assert "built-in networks alone" in why_absent(runtimes, open_bundle(tmp_path))


def test_a_compiler_that_is_not_there_is_named(
    runtimes: Runtimes,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if "wasm-ld" in name else which(name))
    bundle = open_bundle(bundle_of("series", tmp_path_factory))
    reason = why_absent(runtimes, bundle)
    assert "needs wasm-ld" in reason
    assert "apt-get install lld" in reason
