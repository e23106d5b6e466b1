"""Step graphs: files that run one step of one stream, and are judged as all others are."""

import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from command_line import Here
from module_bundles import write_module_bundle
from step_graphs import (
    CONVERTED,
    KEPT,
    STEP_GRAPHS,
    convert_badly,
    convert_never,
    program_kind,
)
from tiny import edit_sealed, installed, refused, validation_of

from pipeline.bundle import Bundle, open_bundle
from pipeline.contract.files import CARD_FILE, MANIFEST_FILE, SIGNATURE_FILE, VALIDATION_FILE
from pipeline.contract.law import FLOAT32, Array
from pipeline.contract.tensors import Axis, Contract
from pipeline.errors import (
    IntegrityError,
    MalformedError,
    ParityError,
    UnavailableError,
    UsageError,
)
from pipeline.run.step_graph import export_step_graph
from pipeline.runtimes import catalog
from pipeline.runtimes.base import Runtime
from pipeline.runtimes.converter import Converter
from pipeline.runtimes.kind import Kind
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.runtimes.stepwise import Stepwise, step_sizes
from pipeline.trust.own_exports import remember_export, was_exported_here
from pipeline.validate.compare import compare
from pipeline.validate.module import golden_answers


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[str], Bundle]:
    """A copy of a bundle that is kept with its step graphs."""

    def copy(name: str) -> Bundle:
        shutil.copytree(STEP_GRAPHS / name, tmp_path / "exported" / name)
        return open_bundle(tmp_path / "exported" / name)

    return copy


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more runtime, whose step graphs are programs of ``torch.export``."""
    monkeypatch.setattr(catalog, "RUNTIMES", {**catalog.RUNTIMES, "program": program_kind()})


def cached(runtime: str) -> Kind:
    """A runtime whose converter is installed; the others are too large for a test."""
    kind = CONVERTED[runtime]
    assert kind.converter is not None
    if not kind.converter.folder.is_dir():
        pytest.skip(f"{kind.converter.packages[0]} is not in the cache")
    return kind


@pytest.mark.parametrize("runtime", CONVERTED)
@pytest.mark.parametrize("name", KEPT)
def test_a_step_graph_passes_every_case_with_its_state_carried(name: str, runtime: str) -> None:
    kind = CONVERTED[runtime]
    assert kind.converter is not None
    if kind.converter.runs:
        cached(runtime)
    else:
        installed(kind.package)
    row = validation_of(open_bundle(STEP_GRAPHS / name), (runtime,)).rows[-1]
    assert (row.status, row.reason, row.format) == ("pass", "", CONVERTED[runtime].format)
    if name == "char-lstm":
        assert len(row.cases) == 41
        assert row.free_run is not None
    else:  # its TorchScript is not trusted here, so there are the golden trajectories alone
        assert {case.batch for case in row.cases} == {1, 3}


class Counted(Runtime):
    """ONNX Runtime, and the shapes of the first input that it was called with."""

    format = name = "counted"
    provider = home = "cpu"

    def __init__(self, file: bytes) -> None:
        self.inside, self.shapes = OnnxRuntime(file, "cpu"), list[tuple[int, ...]]()

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        self.shapes.append(next(iter(inputs.values())).shape)
        return self.inside.call(inputs)


def test_a_call_is_made_of_single_steps_of_single_streams(
    kept: Callable[[str], Bundle],
) -> None:
    bundle = kept("stream")
    counted = Counted(bundle.read("onnx/model.onnx"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 6, 3)).astype(np.float32)
    given = {"x": x, "memory": rng.normal(size=(1, 3, 4)).astype(np.float32)}
    whole = counted.call(given)
    stepwise = Stepwise(counted, bundle.manifest.contract, {"rows": 1, "steps": 2})
    found = stepwise.call(given)
    assert counted.shapes == [(3, 6, 3), *9 * [(1, 2, 3)]]
    for one, other in zip(found, whole, strict=True):
        assert one.dtype == other.dtype
        assert one.flags.c_contiguous
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_state_that_is_lost_between_steps_fails(kept: Callable[[str], Bundle]) -> None:
    bundle = kept("stream")

    class Forgetful(Counted):
        def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
            *outputs, _ = super().call(inputs)
            return [*outputs, inputs["memory"]]

    counted = Forgetful(bundle.read("onnx/model.onnx"))
    stepwise = Stepwise(counted, bundle.manifest.contract, {"rows": 1, "steps": 2})
    records = [compare(stepwise, answer, FLOAT32) for answer in golden_answers(bundle)]
    assert not any(record.passed for record in records)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"n": Axis(role="size")}, "its axis n may have any size"),
        ({"n": Axis(role="batch", smallest=2)}, "its axis n may not be 1"),
        ({"n": Axis(role="time")}, "it reads whole sequences"),
    ],
)
def test_what_has_no_steps_is_refused(axes: dict[str, Axis], said: str) -> None:
    time = "n" if axes["n"].role == "time" else None
    with pytest.raises(ValueError, match=said):
        step_sizes(Contract((), (), (), time=time), axes)


@pytest.mark.parametrize("kind", ["module", "stream", "cell"])
def test_a_module_gets_a_step_graph_by_whatever_converter(kind: str, tmp_path: Path) -> None:
    before = write_module_bundle(kind, tmp_path / kind)
    remember_export(before.digest)
    for name in (SIGNATURE_FILE, VALIDATION_FILE):
        (tmp_path / kind / name).write_text("of the files before")
    bundle = export_step_graph(before, program_kind())
    bundle.verify()
    entry = bundle.manifest.files["model.pt2"]
    assert entry.sizes == {name: axis.multiple for name, axis in bundle.manifest.axes.items()}
    assert was_exported_here(bundle.digest)
    assert bundle.digest != before.digest
    assert [*bundle.folder.glob("model.sig"), *bundle.folder.glob("validation.json")] == []
    assert bundle.manifest.files.keys() - before.manifest.files.keys() == {"model.pt2"}
    again = export_step_graph(bundle, program_kind())
    assert again.read(CARD_FILE) == bundle.read(CARD_FILE)
    assert again.read(CARD_FILE).decode().count("`model.pt2` is this function for program") == 1


@pytest.mark.usefixtures("programs")
def test_a_step_graph_is_a_row_and_without_one_the_row_says_how_to_get_it(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    shutil.copytree(tiny_bundle("sine-gru").folder, tmp_path / "sine-gru")
    bundle = open_bundle(tmp_path / "sine-gru")
    _, absent = validation_of(bundle, ("program",)).rows
    assert absent.status == "not run"
    assert absent.reason.endswith("run 'pipeline export sine-gru --format program'")
    bundle = export_step_graph(bundle, program_kind())
    _, row = validation_of(bundle, ("program",)).rows
    assert (row.status, row.reason, len(row.cases)) == ("pass", "", 41)
    assert validation_of(bundle, ("program",), graph="forecast").rows[1:] == ()


def test_a_changed_step_graph_is_not_run(kept: Callable[[str], Bundle]) -> None:
    bundle = kept("char-lstm")
    with (bundle.folder / "model.tflite").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    with refused(IntegrityError, "model.tflite was changed after its export"):
        bundle.verify()


@pytest.mark.parametrize("sizes", [{"batch": 1}, {"batch": 1, "time": 0}, {"batch": 1, "n": 1}])
def test_sizes_are_those_of_the_axes(kept: Callable[[str], Bundle], sizes: dict[str, int]) -> None:
    path = kept("char-lstm").folder / MANIFEST_FILE
    edit_sealed(path, lambda content: content["files"]["model.tflite"].update(sizes=sizes))
    with refused(MalformedError, "model.tflite has sizes that are not those of the axes"):
        open_bundle(path.parent)


def test_a_converter_that_rounds_is_found_out_and_nothing_is_written(tmp_path: Path) -> None:
    bundle = write_module_bundle("stream", tmp_path / "stream")
    with refused(ParityError, "stream becomes no model.pt2: program gives other numbers than the"):
        export_step_graph(bundle, program_kind(convert_badly))
    assert open_bundle(bundle.folder).digest == bundle.digest


def test_what_a_converter_refuses_is_told_in_one_line(tmp_path: Path) -> None:
    bundle = write_module_bundle("stream", tmp_path / "stream")
    with refused(MalformedError, "program cannot convert it", "no lowering of aten.gru"):
        export_step_graph(bundle, program_kind(convert_never))


def test_whole_sequences_become_no_step_graph(tmp_path: Path) -> None:
    bundle = write_module_bundle("sequence", tmp_path / "sequence")
    with refused(MalformedError, "sequence becomes no model.pt2", "whole sequences"):
        export_step_graph(bundle, program_kind())


@pytest.mark.usefixtures("programs")
def test_the_command_adds_formats_and_leaves_alone_what_is_there(
    pipeline: Here, tiny_bundle: Callable[[str], Bundle]
) -> None:
    shutil.copytree(tiny_bundle("sine-gru").folder, "exported/sine-gru")
    first = pipeline("export", "sine-gru", "--format", "program")
    assert first.code == 0
    assert re.search(r"sine-gru: model\.pt2 exported, [\d,]+ bytes", first.err)
    assert "sine-gru: model.pt2 unchanged" in pipeline("export", "--format", "program").err
    assert pipeline("inspect", "sine-gru").code == 0


def test_wrong_formats_are_told_in_one_line(
    pipeline: Here, tiny_bundle: Callable[[str], Bundle]
) -> None:
    shutil.copytree(tiny_bundle("sine-gru").folder, "exported/sine-gru")
    some = next(iter(CONVERTED))
    for arguments, said in (
        (("sine-gru", "--format", "abacus"), "no format is called 'abacus'"),
        (("sine-gru", "--format", some, "--weights", "int8"), "--weights for a variant"),
        (("net.py:Net", "--format", some), "export the module, then name its bundle"),
    ):
        result = pipeline("export", *arguments)
        assert result.code == UsageError.exit_code
        result.one_line_error(said)
    asked = pipeline("validate", "sine-gru", "--runtime", some)
    assert asked.code == UnavailableError.exit_code
    asked.one_line_error(some)


def test_a_variant_gets_no_step_graph(pipeline: Here, tiny_bundle: Callable[[str], Bundle]) -> None:
    shutil.copytree(tiny_bundle("sine-gru").folder, "exported/sine-gru")
    assert pipeline("export", "sine-gru", "--weights", "float16").code == 0
    with refused(UsageError, "sine-gru-float16 is a variant"):
        export_step_graph(open_bundle(Path("exported/sine-gru/float16")), program_kind())


def wheel_of(folder: Path, name: str) -> None:
    """Write a package with one module to a wheel in ``folder``."""
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "BEADS = 7\n")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


def test_a_converter_is_installed_once_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel_of(tmp_path, "abacus")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    said: list[str] = []
    converter = Converter(bytes, ("abacus==1.0",), 3)
    folder = converter.install(said.append)
    assert (folder / "abacus.py").is_file()
    assert converter.install(said.append) == folder
    [line] = said
    assert line.startswith(f"installing abacus==1.0, which converts, to {folder}: once, 3 MB")
    assert [*folder.parent.iterdir()] == [folder]


def test_a_converter_that_cannot_be_installed_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with refused(UnavailableError, "cannot install abacus==1.0", "No matching distribution"):
        Converter(bytes, ("abacus==1.0",), 3).install()
    assert [*(tmp_path / "cache/recurrent-pipeline").iterdir()] == []


@pytest.mark.parametrize("runtime", CONVERTED)
@pytest.mark.parametrize("name", ["network", "module"])
def test_a_converter_gives_the_same_file_again(
    name: str, runtime: str, tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    kind = cached(runtime)
    if name == "network":
        shutil.copytree(tiny_bundle("char-gru").folder, tmp_path / name)
    else:
        write_module_bundle(name, tmp_path / name)
    bundle = open_bundle(tmp_path / name)
    first, second = (export_step_graph(bundle, kind).read(kind.file) for _ in range(2))
    assert first == second


def test_an_operator_that_a_converter_lacks_is_told_in_one_line(tmp_path: Path) -> None:
    bundle = write_module_bundle("cell", tmp_path / "cell")  # a mean of integers
    with refused(MalformedError, "litert cannot convert it", "tfl.sum"):
        export_step_graph(bundle, cached("litert"))
