"""The model repository for Triton, by the server's protobuf and by its rules; no server runs."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import Here
from embedded import bundle_of, edit
from module_bundles import RECIPES, write_module_bundle
from numpy.typing import NDArray
from tiny import refused
from triton_rules import Arrays, Request, Server, parsed

from pipeline.bundle import Bundle, open_bundle
from pipeline.contract.golden import Trajectory, trajectories
from pipeline.contract.tensors import TensorSpec
from pipeline.embed.project import write_project
from pipeline.embed.targets import TARGETS
from pipeline.errors import UsageError

KINDS = ("series", "text", "two columns", "projected", "both directions")


@pytest.fixture(params=[*KINDS, *RECIPES])
def bundle(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    if request.param in RECIPES:
        return write_module_bundle(request.param, tmp_path / "bundle")
    return open_bundle(bundle_of(request.param, tmp_path_factory))


def served(bundle: Bundle, folder: Path) -> Server:
    write_project(bundle, TARGETS["triton"], folder)
    return Server(folder / "repository")


def test_golden_trajectories_come_out_when_many_streams_share_batches(
    bundle: Bundle, tmp_path: Path
) -> None:
    """Every row is two sequences; rows start one after the other, so starts and steps are mixed."""
    server, golden = served(bundle, tmp_path / "project"), bundle.golden()
    streams = [
        stream
        for trajectory in trajectories(golden, bundle.manifest)
        if starts_as_a_stream(bundle, trajectory)
        for stream in rows_of(bundle, trajectory)
    ]
    assert len(streams) >= 3
    specs = {spec.name: spec for spec in bundle.manifest.outputs}
    is_batched, compared = bool(server.config.max_batch_size), 0
    ticks = max(begin + len(stream) for begin, stream in enumerate(streams))
    for tick in range(ticks):
        due = [
            (2 * begin + twin, stream[tick - begin], tick == begin)
            for begin, stream in enumerate(streams)
            for twin in range(2)
            if 0 <= tick - begin < len(stream)
        ]
        requests = [
            Request(
                number,
                {
                    spec.name: as_served(call[spec.name], spec, bundle, is_batched)
                    for spec in bundle.manifest.contract.data_inputs
                },
                start,
            )
            for number, call, start in due
        ]
        for found, (_, call, _) in zip(server.infer(requests), due, strict=True):
            for name, array in found.items():
                expected = as_served(call[name], specs[name], bundle, is_batched)
                assert array.shape == expected.shape
                assert array.dtype == expected.dtype
                half = array.dtype == np.float16
                limits = {"rtol": 1e-3, "atol": 2.5e-3} if half else golden.tolerance.model_dump()
                assert np.allclose(array, expected, **limits), name
                compared += 1
    assert compared >= len(streams)
    assert (max(server.calls) > 1) == is_batched


def starts_as_a_stream(bundle: Bundle, trajectory: Trajectory) -> bool:
    """Whether a trajectory starts from the initial states, as every sequence in Triton does."""
    rows = max((len(rows_of(bundle, trajectory)), 1))
    initial = bundle.initial_states(rows)
    return all(np.array_equal(trajectory.states[name], y) for name, y in initial.items())


def rows_of(bundle: Bundle, trajectory: Trajectory) -> list[list[Arrays]]:
    """The calls of a trajectory, once for each row of its batch."""
    contract = bundle.manifest.contract
    [size] = {
        array.shape[axis]
        for call in trajectory.calls
        for name, array in call.items()
        if (axis := contract.axis(contract.batch, name)) is not None
    }
    return [[contract.rows(call, [row]) for call in trajectory.calls] for row in range(size)]


def as_served(
    array: NDArray[Any], spec: TensorSpec, bundle: Bundle, is_batched: bool
) -> NDArray[Any]:
    """A tensor of the contract as the README says that the server has it."""
    rows = bundle.manifest.contract.batch
    if is_batched and rows:
        array = np.moveaxis(array, spec.shape.index(rows), 0)
    return array.reshape(*array.shape, 1) if array.ndim == int(is_batched) else array


def test_only_models_of_which_every_tensor_has_rows_are_batched(tmp_path: Path) -> None:
    for kind, most in (("module", 64), ("stream", 64), ("cell", 0), ("sequence", 64)):
        server = served(write_module_bundle(kind, tmp_path / kind), tmp_path / f"{kind}-out")
        assert server.config.max_batch_size == most
        assert server.config.HasField("dynamic_batching") == (kind == "sequence")
        assert server.config.HasField("sequence_batching") == (kind != "sequence")


def test_graph_for_the_server_has_the_nodes_and_the_meanings_of_the_model(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = tiny_bundle("char-lstm")
    write_project(bundle, TARGETS["triton"], tmp_path / "out")
    inner = onnx.load(bundle.folder / "onnx/model.onnx")
    outer = onnx.load(tmp_path / "out/repository/char-lstm/1/model.onnx")
    carried = [node for node in outer.graph.node if node.name.startswith("model/")]
    assert [node.op_type for node in carried] == [node.op_type for node in inner.graph.node]
    specs = (*bundle.manifest.inputs, *bundle.manifest.outputs)
    meanings = {spec.name: spec.meaning for spec in specs}
    meanings["START"] = "true in the first request of a sequence"
    for value in (*outer.graph.input, *outer.graph.output):
        assert value.doc_string == meanings[value.name]
    assert {one.key: one.value for one in outer.metadata_props} == {
        one.key: one.value for one in inner.metadata_props
    }


def test_a_state_that_grows_is_refused(tmp_path: Path) -> None:
    bundle = write_module_bundle("module", tmp_path / "bundle")

    def grow(manifest: dict[str, Any]) -> None:
        manifest["axes"]["past"] = {**manifest["axes"]["time"], "role": "size"}
        for side in ("inputs", "outputs"):
            for spec in manifest[side]:
                if spec["name"] in ("h.0", "h_next"):
                    spec["shape"][0] = "past"

    edit(bundle.folder, "manifest.json", grow)
    with refused(UsageError, "h.0", "grow", "past"):
        write_project(open_bundle(bundle.folder), TARGETS["triton"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_needs_several_rows_is_refused(tmp_path: Path) -> None:
    bundle = write_module_bundle("module", tmp_path / "bundle")
    edit(bundle.folder, "manifest.json", lambda m: m["axes"]["batch"].update(smallest=2))
    with refused(UsageError, "2 rows", "one row"):
        write_project(open_bundle(bundle.folder), TARGETS["triton"], tmp_path / "out")


def test_largest_batch_is_that_of_the_contract(tmp_path: Path) -> None:
    bundle = write_module_bundle("module", tmp_path / "bundle")
    edit(bundle.folder, "manifest.json", lambda m: m["axes"]["batch"].update(largest=5))
    write_project(open_bundle(bundle.folder), TARGETS["triton"], tmp_path / "out")
    config = (tmp_path / "out/repository/module/config.pbtxt").read_bytes()
    assert parsed(config).max_batch_size == 5


def test_it_is_not_run_here_and_says_so(pipeline: Here, at_work: Path, tmp_path: Path) -> None:
    shutil.copytree(at_work, tmp_path / "exported")
    answer = pipeline("embed", "sine-gru", "triton", "--out", "out")
    assert answer.code == 0, answer.err
    assert "not run on a server" in TARGETS["triton"].limits
    assert "nothing in it was run on a server" in " ".join(
        (tmp_path / "out/README.md").read_text().split()
    )
    for command in (
        ("validate", "--runtime", "triton"),
        ("benchmark", "embed", "--target", "triton"),
    ):
        answer = pipeline(*command, "triton")
        assert answer.code == 2
        answer.one_line_error("triton")
