"""A bundle is whole, says what it holds, and does not open once a byte has changed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from conftest import write_tiny_bundle
from tiny import edit_sealed, open_session

from pipeline.bundle import Bundle, current_bundle, network_of, open_bundle
from pipeline.bundle.card import first_lines
from pipeline.bundle.golden import cut_sequences, outside
from pipeline.checkpoint import load_network, read_checkpoint
from pipeline.config import CELLS, PRESETS, Cell, Record, SeriesModel, TextModel
from pipeline.contract import Scaler
from pipeline.contract.law import FLOAT32
from pipeline.contract.manifest import manifest_schema
from pipeline.contract.weights import parameters, weight_shapes
from pipeline.errors import IntegrityError, MalformedError, PipelineError, UnsafeError
from pipeline.model import Network
from pipeline.storage import canonical_json, sha256
from pipeline.validate import Validation, last_validation, marked
from pipeline.validate.records import read_validation

FILES = {
    "README.md",
    "golden.json",
    "model.pt",
    "model.safetensors",
    "onnx/model.onnx",
    *(
        f"onnx/test_data_set_{index}/{kind}_{number}.pb"
        for index in range(3)
        for kind in ("input", "output")
        for number in range(2)
    ),
}

Bundles = Callable[[str], Bundle]


@pytest.fixture
def copied(tiny_bundle: Bundles, tmp_path: Path) -> Bundle:
    """A bundle that a test may damage."""
    shutil.copytree(tiny_bundle("char-lstm").folder, tmp_path / "char-lstm")
    return open_bundle(tmp_path / "char-lstm")


def edit_manifest(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> None:
    edit_sealed(bundle.folder / "manifest.json", change)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_bundle_holds_every_file_and_its_digest(tiny_bundle: Bundles, preset: str) -> None:
    bundle = tiny_bundle(preset)
    on_disk = {p.relative_to(bundle.folder).as_posix() for p in bundle.folder.rglob("*.*")}
    on_disk = {name for name in on_disk if (bundle.folder / name).is_file()}
    files = FILES | {f"onnx/{'generate' if preset.startswith('char') else 'forecast'}.onnx"}
    assert on_disk == files | {"manifest.json"}
    assert set(bundle.manifest.files) == files
    for name, entry in bundle.manifest.files.items():
        data = (bundle.folder / name).read_bytes()
        assert (entry.sha256, entry.bytes) == (sha256(data), len(data))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_manifest_fits_the_schema(tiny_bundle: Bundles, preset: str) -> None:
    content = json.loads((tiny_bundle(preset).folder / "manifest.json").read_text())
    jsonschema.validate(content, manifest_schema())
    assert content["task"] == ("text" if preset.startswith("char") else "series")
    assert (content["vocabulary"] is None) == preset.startswith("sine")
    assert (content["scaler"] is None) == preset.startswith("char")


@pytest.mark.parametrize("preset", ["sine-gru", "char-lstm"])
def test_two_exports_of_one_checkpoint_give_the_same_bytes(
    tiny_bundle: Bundles, tiny_checkpoint: Callable[[str], Path], tmp_path: Path, preset: str
) -> None:
    first, second = tiny_bundle(preset), write_tiny_bundle(tiny_checkpoint(preset), tmp_path / "b")
    for name in [*FILES, "manifest.json"]:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name


@pytest.mark.parametrize("preset", PRESETS)
def test_onnx_runtime_replays_the_golden_trajectories(tiny_bundle: Bundles, preset: str) -> None:
    bundle = tiny_bundle(preset)
    golden = json.loads(bundle.read("golden.json"))
    session = open_session(bundle.read("onnx/model.onnx"))
    kind = np.int64 if preset.startswith("char") else np.float32
    assert len(golden["trajectories"]) == 4

    def array(tensor: dict[str, Any], dtype: type) -> np.ndarray:
        return np.array(tensor["data"], dtype).reshape(tensor["shape"])

    for trajectory in golden["trajectories"]:
        state = array(trajectory["state"], np.float32)
        assert len(trajectory["calls"]) > 1
        for call in trajectory["calls"]:
            output, state = session.run(None, {"input": array(call["input"], kind), "state": state})
            for found, name in ((output, "output"), (state, "next_state")):
                np.testing.assert_allclose(
                    found, array(call[name], np.float32), **golden["tolerance"]
                )
    assert any(np.any(array(t["state"], np.float32)) for t in golden["trajectories"])


@pytest.mark.parametrize("preset", ["sine-rnn", "char-gru"])
def test_the_onnx_folder_is_a_backend_test(tiny_bundle: Bundles, preset: str) -> None:
    folder = tiny_bundle(preset).folder / "onnx"
    session = open_session(folder / "model.onnx")
    shapes = set()
    for data_set in sorted(folder.glob("test_data_set_*")):
        arrays = {
            path.stem: onnx.numpy_helper.to_array(onnx.load_tensor(str(path)))
            for path in data_set.iterdir()
        }
        found = session.run(None, {"input": arrays["input_0"], "state": arrays["input_1"]})
        np.testing.assert_allclose(found[0], arrays["output_0"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found[1], arrays["output_1"], rtol=1e-4, atol=1e-5)
        shapes.add(arrays["input_0"].shape)
    assert len(shapes) == 2


@pytest.mark.parametrize("preset", ["sine-gru", "char-rnn"])
def test_the_first_lines_of_the_model_card_run(
    tiny_bundle: Bundles,
    preset: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = tiny_bundle(preset)
    code = first_lines(bundle.manifest.task)
    assert code in (bundle.folder / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(bundle.folder)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_weights_go_back_into_pytorch_bit_for_bit(
    tiny_bundle: Bundles, tiny_checkpoint: Callable[[str], Path]
) -> None:
    folder = tiny_checkpoint("char-lstm")
    weights = next(folder.glob("weights-*.safetensors")).read_bytes()
    assert tiny_bundle("char-lstm").read("model.safetensors") == weights


@pytest.mark.parametrize("name", sorted(FILES))
def test_one_flipped_bit_is_noticed(copied: Bundle, name: str) -> None:
    path = copied.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="was changed after its export"):
        copied.verify()


def test_a_missing_file_is_named(copied: Bundle) -> None:
    (copied.folder / "model.pt").unlink()
    with pytest.raises(MalformedError, match=r"is missing: .*model\.pt"):
        copied.verify()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "..\\x", "c:x"])
def test_a_path_that_leaves_the_folder_is_refused(copied: Bundle, name: str) -> None:
    edit_manifest(copied, lambda c: c["files"].update({name: c["files"]["model.pt"]}))
    with pytest.raises(UnsafeError, match="leaves its folder"):
        open_bundle(copied.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("tolerance"), "Field required at tolerance"),
        (lambda c: c.update(format=2), "has format 2; this pipeline reads 1"),
        (lambda c: c["model"].update(hidden_size=0), "model.hidden_size"),
        (lambda c: c["model"].update(hidden_size=65_536), "parameters is"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c.update({"a\nb\x1b": 1}), r"at a\?b\?;"),
        (lambda c: c["files"]["model.pt"].update(sha256="x"), r"files.model\.pt"),
        (lambda c: c["files"]["model.pt"].update(bytes=-1), r"files.model\.pt"),
        (lambda c: c["files"]["model.pt"].update(bytes="1"), r"files.model\.pt"),
        (lambda c: c["files"]["model.pt"].update(bytes=10**12), "model.pt is larger than"),
        (lambda c: c["files"].pop("golden.json"), "lists no golden.json"),
        (lambda c: c.update(files={}), "lists no README.md, no golden.json, no model.pt"),
        (lambda c: c.update(name="a b"), "at name"),
        (lambda c: c.update(name='*/ system("x"); /*'), "at name"),
        (lambda c: c.update(name="\x1b[2J"), "at name"),
        (lambda c: c.update(checkpoint_sha256='"\n#define x'), "at checkpoint_sha256"),
        (lambda c: c["versions"].update(torch="<script>"), "at versions.torch"),
        (lambda c: c["versions"].update({"a b": "1"}), "at versions"),
        (lambda c: c.update(task="series"), "not of the same task"),
        (lambda c: c.update(opset="18"), "at opset"),
        (lambda c: c["inputs"].reverse(), "inputs are not those of the model"),
        (lambda c: c["inputs"][0].update(name="x; y"), "inputs are not those of the model"),
        (lambda c: c["inputs"][0].update(type="float32"), "inputs are not those of the model"),
        (lambda c: c["inputs"][0].update(meaning="one\ntwo"), r"at inputs.0.meaning"),
        (lambda c: c["outputs"][0].update(shape=[10**30]), "outputs are not those of the model"),
        (lambda c: c["state"].update(shape=["batch", 10**6, 10**6]), "state is not that"),
        (lambda c: c["state"].update(shape=["batch", -5, 6]), "state is not that"),
        (lambda c: c["state"].update(initial=1.0), "state is not that of the model"),
        (lambda c: c.update(state=None), "state is not that of the model"),
        (lambda c: c.update(loop=None), "loop is not that of the model"),
        (lambda c: c["loop"]["inputs"][0].update(shape=[10**30]), "loop.inputs are not those"),
        (lambda c: c["loop"]["outputs"].pop(), "loop.outputs are not those of the model"),
        (lambda c: c["loop"].update(inputs=[{}]), "loop.inputs.0"),
        (lambda c: c.update(window=5), "window is for models of whole sequences"),
        (lambda c: c.update(spread=[1.0]), "spread is not residual_std"),
        (lambda c: c.update(vocabulary=c["vocabulary"] * 2), "distinct characters"),
        (lambda c: c.update(vocabulary=c["vocabulary"][1:]), "parameters is"),
        (lambda c: c.update(vocabulary=None), "has a vocabulary"),
        (lambda c: c.update(parameters=1), "parameters is 1"),
        (lambda c: c.update(training=None), "training is null"),
        (lambda c: c["tolerance"].update(rtol=1e9), "tolerance allows more"),
        (lambda c: c["tolerance"].update(atol=2e-5), "tolerance allows more"),
        (lambda c: c["tolerance"].update(atol=-1.0), "tolerance.atol"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    copied: Bundle, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit_manifest(copied, change)
    with pytest.raises(MalformedError, match=message) as caught:
        open_bundle(copied.folder)
    assert str(caught.value).isprintable()


def test_a_stricter_tolerance_is_kept(copied: Bundle) -> None:
    edit_manifest(copied, lambda c: c["tolerance"].update(rtol=1e-5))
    assert open_bundle(copied.folder).manifest.tolerance.rtol == 1e-5


def test_a_manifest_nested_deep_is_refused(copied: Bundle) -> None:
    deep = json.loads("[" * 900 + "]" * 900)
    edit_manifest(copied, lambda c: c.update(versions=deep))
    with pytest.raises(MalformedError):
        open_bundle(copied.folder)


def test_a_truncated_manifest_is_refused_wherever_it_ends(copied: Bundle) -> None:
    path = copied.folder / "manifest.json"
    data = path.read_bytes()
    for end in range(0, len(data) - 1, len(data) // 32):
        path.write_bytes(data[:end])
        with pytest.raises(PipelineError) as caught:
            open_bundle(copied.folder)
        assert caught.value.exit_code in (3, 5)
        assert "\n" not in str(caught.value)


def test_no_flipped_bit_of_the_manifest_goes_unseen(copied: Bundle) -> None:
    path = copied.folder / "manifest.json"
    data = path.read_bytes()
    for place in [*range(100), *range(100, len(data), len(data) // 240)]:
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises((IntegrityError, MalformedError)):
            open_bundle(copied.folder)


def test_the_seal_is_the_digest_of_the_file_without_its_line(copied: Bundle) -> None:
    first, line, *rest = (copied.folder / "manifest.json").read_bytes().splitlines(keepends=True)
    assert line == b'  "sha256": "%s",\n' % sha256(b"".join([first, *rest])).encode()
    assert copied.digest.encode() in line


@pytest.mark.parametrize(
    "change",
    [
        lambda content, seal: {**content, "sha256": seal},
        lambda content, seal: {"sha256": seal.upper(), **content},
        lambda content, seal: {"sha256": None, **content},
    ],
    ids=["last", "capitals", "none"],
)
def test_a_seal_out_of_its_place_is_no_seal(
    copied: Bundle, change: Callable[[dict[str, Any], str], dict[str, Any]]
) -> None:
    path = copied.folder / "manifest.json"
    content = json.loads(path.read_bytes())
    seal = content.pop("sha256")
    path.write_bytes(canonical_json(change(content, seal)))
    with pytest.raises(IntegrityError, match="was changed after it was written"):
        open_bundle(copied.folder)


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


# --- what the bundle's other files may be


def replace_listed(bundle: Bundle, name: str, data: bytes) -> Bundle:
    """Put ``data`` in place of a file, and list it in the manifest."""
    (bundle.folder / name).write_bytes(data)
    entry = {"sha256": sha256(data), "bytes": len(data)}
    edit_manifest(bundle, lambda c: c["files"].update({name: entry}))
    return open_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.update(held_out=""), "held_out"),
        (lambda g: g.update(held_out=[[1.0]]), "held_out is not of the model's task"),
        (lambda g: g.pop("held_out"), "Field required at held_out"),
        (lambda g: g.update(trajectories=[]), "trajectories"),
        (lambda g: g.update(format=2), "format 2"),
        (lambda g: g.update(name="other"), "name is not that"),
        (lambda g: g["tolerance"].update(rtol=1.0), "tolerance allows more"),
        (lambda g: g["trajectories"][0].update(calls=[]), "calls"),
        (lambda g: g["trajectories"][0].pop("state"), "state must be there"),
        (lambda g: g["trajectories"][0]["state"].update(shape=[1]), "state has another shape"),
        (lambda g: g["trajectories"][0]["calls"][0]["input"]["data"].pop(), "input has another"),
        (lambda g: g["trajectories"][0]["calls"][0]["input"]["data"].__setitem__(0, 0.5), "whole"),
        (lambda g: g["trajectories"][0]["calls"][0]["output"]["data"].__setitem__(0, 1e300), "32"),
    ],
)
def test_golden_data_that_do_not_fit_are_refused(
    copied: Bundle, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    content = json.loads(copied.read("golden.json"))
    change(content)
    changed = replace_listed(copied, "golden.json", canonical_json(content, None))
    with pytest.raises(MalformedError, match=message):
        changed.held_out()


@pytest.mark.parametrize("name", ["onnx/model.onnx", "onnx/test_data_set_0/input_1.pb"])
def test_data_in_other_files_is_unsafe(copied: Bundle, name: str) -> None:
    external = onnx.StringStringEntryProto(key="location", value="../../secret")
    if name.endswith(".onnx"):
        model = onnx.load(copied.folder / name)
        tensor = model.graph.initializer[0]
    else:
        tensor = model = onnx.load_tensor(copied.folder / name)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.append(external)
    changed = replace_listed(copied, name, model.SerializeToString())
    with pytest.raises(UnsafeError, match="reads its data from other files"):
        changed.read(name)


def test_the_word_location_alone_is_no_harm(copied: Bundle) -> None:
    model = onnx.load(copied.folder / "onnx" / "model.onnx")
    model.doc_string = "location"
    changed = replace_listed(copied, "onnx/model.onnx", model.SerializeToString())
    assert b"location" in changed.read("onnx/model.onnx")


@pytest.mark.parametrize("name", ["golden.json", "onnx/model.onnx", "manifest.json"])
def test_links_out_of_a_bundle_are_not_followed(copied: Bundle, name: str) -> None:
    path = copied.folder / name
    path.rename(copied.folder.parent / "elsewhere")
    path.symlink_to(copied.folder.parent / "elsewhere")
    with pytest.raises(UnsafeError, match="is a link"):
        open_bundle(copied.folder).verify()


def test_a_file_of_another_size_is_not_read(copied: Bundle) -> None:
    with (copied.folder / "golden.json").open("r+b") as file:
        file.truncate(20 * 2**30)
    for use in (copied.verify, copied.golden):
        with pytest.raises(IntegrityError, match="was changed after its export"):
            use()


# --- bundles of earlier versions


EARLIER = Path(__file__).with_name("data") / "earlier"


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


# --- evidence of others


@pytest.fixture
def evidence(tiny_bundle: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    """A bundle with evidence that was found here, and settings of its own."""
    bundle = Bundle(tmp_path, tiny_bundle("sine-rnn").manifest)
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


# --- the room of the contract


def test_the_contract_imports_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, pipeline.contract; "
        "sys.exit(bool({'torch', 'onnx', 'onnxruntime', 'pandas'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 3},
        {"bias": False},
        {"bidirectional": True, "readout": "final", "num_layers": 2},
        {"proj_size": 2, "num_layers": 2},
        {"proj_size": 2, "bidirectional": True, "readout": "each", "bias": False},
    ],
    ids=str,
)
def test_the_shapes_of_weights_follow_from_the_configuration(
    cell: Cell, options: dict[str, Any]
) -> None:
    if "proj_size" in options and cell != "lstm":
        return
    scaler = Scaler(
        input_mean=(0.0,) * 3, input_std=(1.0,) * 3, output_mean=(0.0,) * 2, output_std=(1.0,) * 2
    )
    series = SeriesModel(cell=cell, hidden_size=5, features=3, targets=2, **options)
    text = TextModel(cell=cell, hidden_size=5, embedding_size=3, **options)
    for network in (Network(series, scaler=scaler), Network(text, vocabulary="abcd")):
        own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        shapes = weight_shapes(network.config, len(network.vocabulary or ""))
        assert shapes == own
        assert parameters(shapes) == sum(weight.numel() for weight in network.parameters())


def test_a_bundle_is_current_until_its_checkpoint_opset_or_bytes_change(copied: Bundle) -> None:
    folder, digest = copied.folder, copied.manifest.checkpoint_sha256
    assert current_bundle(folder, digest, 18) is not None
    assert current_bundle(folder, "0" * 64, 18) is None
    assert current_bundle(folder, digest, 19) is None
    (folder / "golden.json").write_text("{}")
    assert current_bundle(folder, digest, 18) is None
    assert current_bundle(folder.parent / "none", digest, 18) is None


def test_streams_wrap_around_and_differ() -> None:
    source = np.arange(10, dtype=np.int64)
    assert cut_sequences(source, 2, 7).tolist() == [[0, 1, 2, 3, 4, 5, 6], [5, 6, 7, 8, 9, 0, 1]]
    assert cut_sequences(source, 32, 3).shape == (32, 3)


def test_strange_input_is_outside_what_training_knew() -> None:
    text = np.full((2, 9), ord("a"))
    points = set(outside(text, "ab").ravel().tolist()) - {ord("a")}
    assert points
    assert points.isdisjoint({ord("b")})
    values = np.ones((2, 9, 1), np.float32)
    assert np.abs(outside(values, None)).max() >= 100
    assert (values == 1).all()
