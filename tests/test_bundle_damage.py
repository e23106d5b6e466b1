"""A bundle does not open once a byte has changed, and a part that lies is refused."""

import json
from collections.abc import Callable
from typing import Any

import onnx
import pytest
from tiny import edit_sealed

from pipeline.bundle import Bundle, open_bundle
from pipeline.errors import IntegrityError, MalformedError, PipelineError, UnsafeError
from pipeline.storage import canonical_json, sha256


def edit_manifest(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> None:
    edit_sealed(bundle.folder / "manifest.json", change)


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
        (lambda c: c.update(format=3), "has format 3; this pipeline reads 2"),
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
        (lambda c: c["inputs"][0].update(name="x; y"), "'x; y' is no name of a tensor"),
        (lambda c: c["inputs"][0].update(type="float32"), "inputs are not those of the model"),
        (lambda c: c["inputs"][0].update(meaning="one\ntwo"), r"at inputs.0.meaning"),
        (lambda c: c["outputs"][0].update(shape=[10**30]), "a shape that no model has"),
        (lambda c: c["outputs"][0].update(shape=[-5]), "a shape that no model has"),
        (lambda c: c["outputs"][0].update(name="input"), "two tensors have the same name"),
        (lambda c: c["states"][0].update(output="output"), "no pair of an input and an output"),
        (lambda c: c["states"][0].update(input="\n"), "no pair of an input and an output"),
        (lambda c: c["states"][0].update(initial=1.0), "state is not that of the model"),
        (lambda c: c["states"][0].update(initial="../x"), "starts from ../x"),
        (lambda c: c["states"][0].update(initial="initial.json"), "state is not that of the model"),
        (lambda c: c.update(states=[]), "state is not that of the model"),
        (lambda c: c["states"].append(c["states"][0]), "no pair of an input and an output"),
        (lambda c: c["axes"].update(more={"role": "size"}), "axes are not those of the model"),
        (lambda c: c["axes"]["time"].update(role="batch"), "two axes are batch"),
        (lambda c: c["axes"].pop("time"), "an axis that is not in axes: time"),
        (lambda c: c["axes"]["time"].update(smallest=5, largest=4), "less than its smallest"),
        (lambda c: c["inputs"][0]["sample"].update(kind="normal"), "at inputs.0.sample"),
        (lambda c: c.update(module={}), "module.class_name"),
        (lambda c: c.update(model=None), "either a model or a module"),
        (lambda c: c.update(source=None), "source or checkpoint_sha256 is missing"),
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
        (lambda c: c["tolerance"]["float32"].update(rtol=1e9), "tolerance allows more"),
        (lambda c: c["tolerance"]["float32"].update(atol=2e-5), "tolerance allows more"),
        (lambda c: c["tolerance"]["bfloat16"].update(atol=1.0), "tolerance allows more"),
        (lambda c: c["tolerance"]["float32"].update(atol=-1.0), "tolerance.float32.atol"),
        (lambda c: c["tolerance"].pop("float32"), "tolerance lacks float32"),
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
    edit_manifest(copied, lambda c: c["tolerance"]["float32"].update(rtol=1e-5))
    assert open_bundle(copied.folder).manifest.tolerance["float32"].rtol == 1e-5


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


def replace_listed(bundle: Bundle, name: str, data: bytes) -> Bundle:
    """Put ``data`` in place of a file, and list it in the manifest."""
    (bundle.folder / name).write_bytes(data)
    entry = {"sha256": sha256(data), "bytes": len(data)}
    edit_manifest(bundle, lambda c: c["files"].update({name: entry}))
    return open_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.update(held_out={"input": ""}), "held_out"),
        (lambda g: g.update(held_out={}), "held_out of input is missing"),
        (lambda g: g["held_out"].update(state="a"), "of no input that wants it"),
        (lambda g: g.update(held_out={"input": {"shape": [1, 1], "data": [1]}}), "another shape"),
        (lambda g: g.pop("held_out"), "Field required at held_out"),
        (lambda g: g.update(trajectories=[]), "trajectories"),
        (lambda g: g.update(format=3), "format 3"),
        (lambda g: g.update(name="other"), "name is not that"),
        (lambda g: g["tolerance"].update(rtol=1.0), "tolerance allows more"),
        (lambda g: g["trajectories"][0].update(calls=[]), "calls"),
        (lambda g: g["trajectories"][0].update(states={}), "state must be there"),
        (
            lambda g: g["trajectories"][0]["states"]["state"].update(shape=[1]),
            "another shape",
        ),
        (lambda g: g["trajectories"][0]["calls"][0]["input"]["data"].pop(), "input has another"),
        (
            lambda g: g["trajectories"][0]["calls"][0]["input"]["data"].__setitem__(0, 0.5),
            "no int64",
        ),
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
        changed.task_data()


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
