"""Tiny models that stand for the real ones: trained for an instant, exported once a session."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from command_line import Here
from python_bundles import BOTH, CHAR, SINE, TWO
from shared import once, shared
from small_variants import store_all_small
from tiny import installed, missing

import pipeline as api
from pipeline.bundle import Bundle, build_bundle, open_bundle
from pipeline.checkpoint import load_network, save_checkpoint
from pipeline.config import PRESETS, override
from pipeline.data import load
from pipeline.embed.browser.server import FLAGS, find_browser
from pipeline.errors import UnavailableError
from pipeline.storage import write_folder
from pipeline.train import baselines
from pipeline.train.batches import make_task
from pipeline.train.scores import score
from pipeline.train.trainer import Trainer
from pipeline.validate import cases, free_run
from pipeline.validate.loops import cases as loops_cases

pytest_plugins = (
    "page_projects",
    "run_bundles",
    "tables",
    "travelled",
    "validated",
)
hypothesis.settings.register_profile("same every time", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same every time")
torch.set_num_threads(1)  # more only wait for each other on models this small

TEXT = "the quick brown fox jumps over the lazy dog; naïve café — Ελλάδα 🦊.\n" * 12


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Settings of a user who never was here, for this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(shared(tmp_path_factory) / "settings"))
        yield


@pytest.fixture(autouse=True)
def no_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    """No models of statsforecast, whose search takes seconds; they have tests of their own."""
    monkeypatch.setattr(baselines, "NAMES", ())


@pytest.fixture(scope="session", autouse=True)
def short_streams() -> Iterator[None]:
    """Streams and free runs that end soon; how long they really are has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "MIDDLE", 60)
        patch.setattr(cases, "LONG", 200)
        patch.setattr(cases, "TIMES", (1, 2, 7, 50, 60, 200))
        patch.setattr(cases, "STREAM", 600)
        patch.setattr(cases, "STREAM_PIECES", 30)
        patch.setattr(free_run, "STEPS", 40)
        patch.setattr(loops_cases, "LENGTH", 40)
        yield


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "fox.txt").write_text(TEXT, encoding="utf-8")

    return once(shared(tmp_path_factory) / "text", make) / "fox.txt"


@pytest.fixture(scope="session")
def tiny_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, text_file: Path
) -> Callable[[str], Path]:
    """The folder of a tiny two-layer checkpoint, named as its preset."""

    def make(folder: Path) -> None:
        small = {"hidden_size": 6, "num_layers": 2, "epochs": 1, "window": 16}
        own = (
            {"source": {"kind": "text", "files": [str(text_file)]}, "embedding_size": 4}
            if folder.name.startswith("char")
            else {"length": 300}
        )
        config = override(PRESETS[folder.name], small | own)
        data = load(config.source)
        trainer = Trainer(config, make_task(config, data), torch.device("cpu"))
        for _ in trainer.run():
            pass
        save_checkpoint(folder, trainer, config, data, score(trainer.best_network(), data))

    root = shared(tmp_path_factory) / "checkpoints"
    return lambda preset: once(root / preset, make)


def write_tiny_bundle(checkpoint_folder: Path, folder: Path, opset: int = 18) -> Bundle:
    """Export a checkpoint to ``folder``."""
    from pipeline.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(checkpoint_folder)
    network = load_network(checkpoint_folder, checkpoint)
    write_folder(folder, build_bundle(checkpoint, network, opset))
    return open_bundle(folder)


@pytest.fixture(scope="session")
def tiny_bundle(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Callable[[str], Path]
) -> Callable[[str], Bundle]:
    """An open bundle of a tiny model; shared, so tests that change it copy its folder."""

    def make(folder: Path) -> None:
        write_tiny_bundle(tiny_checkpoint(folder.name), folder)

    root = shared(tmp_path_factory) / "exported"
    return lambda preset: open_bundle(once(root / preset, make))


@pytest.fixture
def copied(tiny_bundle: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    """A bundle that a test may damage."""
    shutil.copytree(tiny_bundle("char-lstm").folder, tmp_path / "char-lstm")
    return open_bundle(tmp_path / "char-lstm")


@pytest.fixture(scope="session")
def at_work(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Callable[[str], Bundle]) -> Path:
    """A folder with a model of each kind: text, a series, two columns, and whole sequences.

    They are called char-lstm, sine-gru, two and both; shared, so nobody changes it.
    """
    from embedded import bundle_of

    def make(root: Path) -> None:
        for name in ("char-lstm", "sine-gru"):
            shutil.copytree(tiny_bundle(name).folder, root / name)
        for name, kind in (("two", "two columns"), ("both", "both directions")):
            shutil.copytree(bundle_of(kind, tmp_path_factory), root / name)

    return once(shared(tmp_path_factory) / "at work", make)


@pytest.fixture(scope="session")
def char(at_work: Path) -> api.Bundle:
    return api.load(CHAR, at_work)


@pytest.fixture(scope="session")
def sine(at_work: Path) -> api.Bundle:
    return api.load(SINE, at_work)


@pytest.fixture(scope="session")
def two(at_work: Path) -> api.Bundle:
    return api.load(TWO, at_work)


@pytest.fixture(scope="session")
def both(at_work: Path) -> api.Bundle:
    return api.load(BOTH, at_work)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; where a CI has none, the test fails and does not skip."""
    installed("playwright")
    from playwright.sync_api import sync_playwright

    try:
        path = find_browser()
    except UnavailableError as error:
        missing(str(error))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    monkeypatch.chdir(tmp_path)
    return Here(monkeypatch, capsys)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own Ctrl-C, which a suite in the background may have been told to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variants of tiny networks store every weight small, and are judged in an instant."""
    store_all_small(monkeypatch)
