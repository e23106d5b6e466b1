"""Bundles on the Hugging Face Hub, for which a server on this machine stands in."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors
from command_line import ROOT, Here, run_process
from hub_server import TOKEN, Hub, serve_hub
from module_bundles import write_module_bundle
from tiny import installed, refused, validation_of

import pipeline
from pipeline.bundle import Bundle, open_bundle
from pipeline.contract.files import CARD_FILE, MANIFEST_FILE, ONNX_FILE, WEIGHTS_FILE
from pipeline.contract.front_matter import with_front_matter
from pipeline.errors import IntegrityError, MalformedError, UnavailableError, UsageError
from pipeline.lookup import is_on_hub
from pipeline.validate import marked

REPOSITORY = "ada/char-lstm"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub, at which this user has logged in; nothing is cached."""
    constants, cache = installed("huggingface_hub.constants"), tmp_path / "cache"
    with serve_hub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(cache / "assets"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.chdir(tmp_path)
        yield server


@pytest.fixture
def pushed(hub: Hub, copied: Bundle, pipeline: Here) -> Hub:
    assert pipeline("push", str(copied.folder), REPOSITORY).code == 0
    return hub


def front_matter(data: bytes) -> dict[str, Any]:
    metadata = installed("huggingface_hub").ModelCard(data.decode()).data.to_dict()
    return dict(metadata)


def test_push_uploads_the_bundle_as_it_is_and_load_takes_it_back(
    hub: Hub, copied: Bundle, pipeline: Here
) -> None:
    answer = pipeline("push", str(copied.folder), REPOSITORY, "--license", "mit", "--json")
    assert answer.code == 0, answer.err
    content, files = json.loads(answer.out), hub.files(REPOSITORY)
    assert {*content["files"]} == {*copied.manifest.files, MANIFEST_FILE}
    for name in content["files"]:
        own = (copied.folder / name).read_bytes()
        assert files[name] == own if name != CARD_FILE else files[name].endswith(own)
    assert any(line.startswith("PUT /lfs/") for line in hub.log)  # large files by git-lfs
    assert not hub.private
    found = open_bundle(load(REPOSITORY).folder)
    found.verify()
    assert found.content == copied.content
    assert f"{hub.url}/{REPOSITORY}" == content["url"]


def load(name: str, **options: Any) -> Any:
    return pipeline.load(name, **options)


def test_page_says_library_task_tags_license_and_scores(
    hub: Hub, copied: Bundle, pipeline: Here
) -> None:
    pipeline("push", str(copied.folder), REPOSITORY, "--license", "mit")
    found = front_matter(hub.files(REPOSITORY)[CARD_FILE])
    assert (found["library_name"], found["pipeline_tag"]) == (
        "recurrent-pipeline",
        "text-generation",
    )
    assert found["license"] == "mit"
    assert {"onnx", "lstm", "stateful"} <= {*found["tags"]}
    [index] = found["model-index"]
    assert index["name"] == "char-lstm"
    values = {one["type"]: one["value"] for part in index["results"] for one in part["metrics"]}
    assert copied.manifest.training is not None
    scores = copied.manifest.training.scores.model_dump()
    assert values == {name: scores[name] for name in ("bits_per_character", "loss", "accuracy")}


def test_page_of_a_series_has_its_errors_and_that_of_a_module_no_scores(
    hub: Hub, tiny_bundle: Callable[[str], Bundle], tmp_path: Path, pipeline: Here
) -> None:
    series = tiny_bundle("sine-gru")
    pipeline("push", str(series.folder), "ada/series")
    found = front_matter(hub.files("ada/series")[CARD_FILE])
    assert found["pipeline_tag"] == "time-series-forecasting"
    values = {
        one["type"]: one["value"]
        for part in found["model-index"][0]["results"]
        for one in part["metrics"]
    }
    assert series.manifest.training is not None
    scores = series.manifest.training.scores.model_dump()
    for suffix, part in (("", "one_step"), ("_free_run", "free_run")):
        for name, value in scores[part].items():
            assert values[f"{name}{suffix}"] == value
    write_module_bundle("module", tmp_path / "module")
    assert pipeline("push", str(tmp_path / "module"), "ada/module").code == 0
    found = front_matter(hub.files("ada/module")[CARD_FILE])
    assert "pipeline_tag" not in found
    assert "model-index" not in found
    assert load("ada/module").states


def test_parity_stands_on_the_page_of_who_has_measured_it(
    hub: Hub, copied: Bundle, pipeline: Here
) -> None:
    validation = marked(validation_of(copied, ("onnxruntime",)))
    copied.add_validation(validation)
    assert "without parity" not in pipeline("push", str(copied.folder), REPOSITORY).err
    [index] = front_matter(hub.files(REPOSITORY)[CARD_FILE])["model-index"]
    shown = {
        one["name"].split(", ", 1)[1]: one["value"]
        for part in index["results"]
        for one in part["metrics"]
        if one["type"] == "share_of_tolerance"
    }
    ran = [row for row in validation.rows if row.status == "pass"]
    assert ran
    assert shown == {f"{row.label}, {row.provider}, {row.precision}": row.share for row in ran}
    assert load(REPOSITORY).folder.joinpath("validation.json").is_file()
    copied.add_validation(validation.model_copy(update={"mark": None}))  # by another user
    assert "without parity" in pipeline("push", str(copied.folder), "ada/other").err
    assert b"share_of_tolerance" not in hub.files("ada/other")[CARD_FILE]


def test_bundle_that_failed_is_not_uploaded(hub: Hub, copied: Bundle, pipeline: Here) -> None:
    found = validation_of(copied, ("onnxruntime",))
    rows = tuple(row.model_copy(update={"status": "fail"}) for row in found.rows)
    copied.add_validation(marked(found.model_copy(update={"rows": rows})))
    answer = pipeline("push", str(copied.folder), REPOSITORY)
    assert answer.code == 6
    answer.one_line_error("did not pass")
    assert not hub.repositories


def test_what_its_owner_wrote_on_the_page_stays(
    pushed: Hub, copied: Bundle, pipeline: Here
) -> None:
    files = pushed.files(REPOSITORY)
    edited = "license: apache-2.0\nlanguage: de\ntags:\n- poems\n- onnx"
    card = with_front_matter(edited, (copied.folder / CARD_FILE).read_bytes())
    pushed.commit(REPOSITORY, {**files, CARD_FILE: card})
    load(REPOSITORY)  # other front matter leaves the digests right
    assert pipeline("push", str(copied.folder), REPOSITORY).code == 0
    found = front_matter(pushed.files(REPOSITORY)[CARD_FILE])
    assert (found["license"], found["language"]) == ("apache-2.0", "de")
    assert "poems" in found["tags"]
    assert found["tags"].count("onnx") == 1
    assert found["library_name"] == "recurrent-pipeline"


def test_clone_of_a_repository_is_a_bundle(pushed: Hub, pipeline: Here, tmp_path: Path) -> None:
    for name, data in pushed.files(REPOSITORY).items():
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / name).write_bytes(data)
    assert pipeline("inspect", str(tmp_path / "clone")).code == 0
    card = tmp_path / "clone" / CARD_FILE
    card.write_bytes(card.read_bytes() + b" ")
    assert pipeline("inspect", str(tmp_path / "clone")).code == 5


@pytest.mark.parametrize("name", [ONNX_FILE, "golden.json", CARD_FILE])
def test_load_refuses_a_file_of_which_one_bit_is_changed(pushed: Hub, name: str) -> None:
    files = pushed.files(REPOSITORY)
    data = bytearray(files[name])
    data[-10] ^= 1
    pushed.commit(REPOSITORY, {**files, name: bytes(data)})
    with refused(IntegrityError, REPOSITORY, name):
        load(REPOSITORY)


def test_load_refuses_larger_files_before_they_are_downloaded(pushed: Hub) -> None:
    files = pushed.files(REPOSITORY)
    pushed.commit(REPOSITORY, {**files, ONNX_FILE: files[ONNX_FILE] + b"more"})
    with refused(IntegrityError, ONNX_FILE, "bytes"):
        load(REPOSITORY)
    assert not [line for line in pushed.log if line.startswith("GET") and ONNX_FILE in line]


def test_load_refuses_repositories_without_a_whole_bundle(pushed: Hub, tmp_path: Path) -> None:
    files = pushed.files(REPOSITORY)
    pushed.commit(REPOSITORY, {n: d for n, d in files.items() if n != ONNX_FILE})
    with refused(MalformedError, "lacks onnx/model.onnx"):
        load(REPOSITORY)
    pushed.commit("ada/weights", {WEIGHTS_FILE: b"some"})
    with refused(UsageError, "ada/weights", "no bundle"):
        load("ada/weights")
    manifest = files[MANIFEST_FILE].replace(b"char-lstm", b"char-lstn")
    pushed.commit(REPOSITORY, {**files, MANIFEST_FILE: manifest})
    with refused(IntegrityError, REPOSITORY, MANIFEST_FILE):
        load(REPOSITORY)
    assert not [*(tmp_path / "cache/assets").rglob("*.*")]  # nothing of these was put in place


def test_what_was_fetched_is_there_without_the_hub(pushed: Hub) -> None:
    first = load(REPOSITORY)
    pushed.broken = True
    commit = [*pushed.repositories[REPOSITORY]][-1]
    with refused(UnavailableError, "500"):
        load(REPOSITORY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(installed("huggingface_hub.constants"), "HF_HUB_OFFLINE", True)
        assert load(REPOSITORY).folder == first.folder
        assert load(REPOSITORY, revision=commit).folder == first.folder
        with refused(UnavailableError, "ada/other", "cannot be reached"):
            load("ada/other")


def test_revisions_are_loaded_by_name_and_each_has_a_folder(
    pushed: Hub, copied: Bundle, pipeline: Here
) -> None:
    first = [*pushed.repositories[REPOSITORY]][-1]
    pipeline("push", str(copied.folder), REPOSITORY, "--license", "mit")
    assert load(REPOSITORY, revision=first).folder != load(REPOSITORY).folder
    with refused(UsageError, "no such revision"):
        load(REPOSITORY, revision="v9")
    with refused(UsageError, "is a folder"):
        load(str(copied.folder), revision="v9")


def test_repositories_that_are_private_or_not_there(
    hub: Hub, copied: Bundle, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pipeline("push", str(copied.folder), REPOSITORY, "--private").code == 0
    assert hub.private == {REPOSITORY}
    assert load(REPOSITORY).name == "char-lstm"
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    for name in (REPOSITORY, "ada/nothing"):
        with refused(UsageError, name, "hf auth login"):
            load(name)
    answer = pipeline("push", str(copied.folder), "ada/new")
    assert answer.code == 2
    answer.one_line_error("hf auth login")


@pytest.mark.parametrize("broken", [False, True])
def test_token_is_never_printed(
    hub: Hub, copied: Bundle, pipeline: Here, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """The server repeats it in what it answers."""
    token = TOKEN if broken else "hf_another"
    monkeypatch.setenv("HF_TOKEN", token)
    hub.broken = broken
    answer = pipeline("push", str(copied.folder), REPOSITORY)
    assert answer.code == (7 if broken else 2)
    assert token not in answer.out + answer.err
    monkeypatch.setenv("PIPELINE_DEBUG", "1")
    with pytest.raises((UsageError, UnavailableError)) as caught:
        load(REPOSITORY)
    error: BaseException | None = caught.value
    assert error is not None
    assert token not in str(error)
    assert error.__suppress_context__  # so a traceback does not show it either


def test_process_is_pointed_at_a_hub_by_the_environment(
    hub: Hub, copied: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = run_process(["push", str(copied.folder), REPOSITORY], tmp_path)
    assert done.code == 0, done.err
    assert TOKEN not in done.out + done.err
    code = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = None; import pipeline; "
        "assert 'huggingface_hub' not in sys.modules; "
        f"print(len(pipeline.load({REPOSITORY!r}).generate('the', 30, seed=1)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (answer.returncode, answer.stdout) == (0, "30\n"), answer.stderr


def test_without_the_library_the_way_to_get_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with refused(UnavailableError, REPOSITORY, "pip install", "huggingface-hub"):
        load(REPOSITORY)


def test_folders_come_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_on_hub("ada/lstm")
    for name in ("lstm", "./ada", "../ada", "/ada/lstm", "ada/lstm/more", "ada/", "ä/lstm", ".a/b"):
        assert not is_on_hub(name)
    (tmp_path / "ada").mkdir()
    assert not is_on_hub("ada/lstm")


def test_weights_say_that_they_are_of_pytorch(tiny_bundle: Callable[[str], Bundle]) -> None:
    path = tiny_bundle("sine-gru").folder / WEIGHTS_FILE
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}
