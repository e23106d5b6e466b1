"""A recurrent policy of a public package, from its training to programs in other languages."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from embedded import line_of, programs_of, run
from ncps.torch import CfC
from ncps.wirings import AutoNCP
from torch import Tensor

import pipeline as api
from pipeline.runtimes.catalog import Runtimes
from pipeline.trust import Trust
from pipeline.validate import validate_bundle

_ROWS, _STEPS = 32, 20


def task(seed: int) -> tuple[Tensor, Tensor]:
    """Noisy positions of carts that swing, ``[batch, time, 1]``, and the force that damps each.

    The force depends on the speed, which no single position tells: the policy has to remember.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(3, _ROWS, 1, generator=generator)
    swing, phase, size = 0.3 + 0.4 * drawn[0], 6.3 * drawn[1], 0.5 + drawn[2]
    angle = swing * torch.arange(_STEPS) + phase
    position, speed = size * angle.sin(), size * swing * angle.cos()
    noise = 0.02 * torch.randn(_ROWS, _STEPS, generator=generator)
    return (position + noise).unsqueeze(-1), (-position - 2 * speed).unsqueeze(-1)


def error_of(policy: CfC, seed: int) -> float:
    """The share of the force's variance that the policy does not explain."""
    positions, force = task(seed)
    with torch.no_grad():
        return float((policy(positions)[0] - force).pow(2).mean() / force.var())


@pytest.fixture(scope="module")
def policy() -> CfC:
    """A closed-form continuous-time network, wired as a neural circuit, that imitates the force."""
    torch.manual_seed(0)
    made = CfC(1, AutoNCP(12, 1, seed=0))
    optimizer = torch.optim.Adam(made.parameters(), lr=0.02)
    for seed in range(100):
        positions, force = task(seed)
        optimizer.zero_grad()
        (made(positions)[0] - force).pow(2).mean().backward()
        optimizer.step()
    return made.eval()


@pytest.fixture(scope="module")
def bundle(policy: CfC, tmp_path_factory: pytest.TempPathFactory) -> api.Bundle:
    """The policy as its users call it: without a state, which it begins with zeros."""
    return api.export(
        policy,
        task(0)[0],
        name="policy",
        axes={"input": {0: "batch", 1: "time"}},
        exported=tmp_path_factory.mktemp("policy"),
    )


def test_the_policy_remembers_what_a_single_position_does_not_tell(policy: CfC) -> None:
    positions, force = task(1000)
    flat = positions.flatten(), force.flatten()
    explained = float(torch.corrcoef(torch.stack(flat))[0, 1] ** 2)
    assert error_of(policy, 1000) < (1 - explained) / 2


def test_its_state_is_an_input_and_its_loop_is_one_scan(bundle: api.Bundle) -> None:
    (state,) = bundle.states
    assert (state.input, state.output, state.initial) == ("hx", "next_hx", 0.0)
    assert bundle.manifest.contract.time == "time"
    graph = onnx.load(bundle.folder / "onnx" / "model.onnx").graph
    assert [node.op_type for node in graph.node].count("Scan") == 1


def test_every_runtime_gives_its_numbers(bundle: api.Bundle) -> None:
    names = ("onnxruntime", "torchscript")
    with Runtimes(names, ("cpu",), trust=Trust()) as runtimes:
        validation = validate_bundle(bundle, runtimes)
    assert [row.status for row in validation.rows] == ["pass", "pass"]


def test_it_streams_as_in_eager_pytorch(bundle: api.Bundle, policy: CfC) -> None:
    positions, _ = task(7)
    with torch.no_grad():
        whole, end = policy(positions)
    stream = bundle.stream(batch=_ROWS)
    pieces = [stream(piece.numpy()) for piece in positions.split((1, 2, 10, 7), 1)]
    np.testing.assert_allclose(np.concatenate(pieces, 1), whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stream.state, end, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", ["python", "node", "cpp-onnxruntime", "cpp-libtorch"])
def test_programs_replay_it_and_stream_it(
    target: str, bundle: api.Bundle, policy: CfC, tmp_path_factory: pytest.TempPathFactory
) -> None:
    programs, folder = programs_of(target, "series", tmp_path_factory), Path(bundle.folder)
    replayed = run(programs.replay, "--model", folder)
    assert (replayed.code, replayed.err) == (0, "")
    line = line_of(replayed)
    assert (line["model"], line["passed"]) == ("policy", True)
    assert line["outputs"] < 1e-4
    positions = task(8)[0][:1]
    with torch.no_grad():
        expected = policy(positions)[0].flatten().numpy()
    text = "".join(f"{number!r}\n" for number in positions.flatten().tolist())
    answer = run(programs.example, "--model", folder, stdin=text)
    assert (answer.code, answer.err) == (0, "")
    found = [float(line) for line in answer.out.splitlines()]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
