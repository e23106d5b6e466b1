"""Modules with hidden state, drawn at random: streamed as in eager PyTorch, or refused by name."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from module_files import written
from random_modules import (
    AROUND,
    AXES,
    KINDS,
    REFUSED,
    SIZE,
    STREAMED,
    Model,
    Nested,
)
from torch import Tensor, nn

from pipeline.contract.law import FLOAT32
from pipeline.errors import MalformedError
from pipeline.export.state import Explicit, explicit


def streamed(pure: Explicit, x: Tensor, cuts: Sequence[int], run: Any = None) -> list[Any]:
    """What the pure module gives for each piece of ``x``, from the initial states."""
    run = run or (lambda given: [y.numpy() for y in pure.module(*map(torch.tensor, given))])
    states, found = pure.start(x.size(0)), []
    names = [spec.name for spec in pure.contract.outputs]
    for piece in x.split(list(cuts), 1):
        results = dict(zip(names, run([piece.numpy(), *states.values()]), strict=True))
        states = {before: results.pop(after) for before, after in pure.contract.states}
        found.append(list(results.values()))
    return found


def joined(pieces: Sequence[Sequence[Any]], last: bool) -> Any:
    return pieces[-1][0] if last else np.concatenate([piece[0] for piece in pieces], 1)


def eager(module: nn.Module, x: Tensor) -> Any:
    """What the user's module gives for all of ``x``, row by row, each from the initial state."""
    rows = []
    for row in x.split(1):
        with torch.no_grad():
            result = copy.deepcopy(module).eval()(row)
        rows.append(result[0] if isinstance(result, tuple) else result)
    return torch.cat(rows).numpy()


BLOCK = st.tuples(
    st.sampled_from(STREAMED), st.sampled_from(sorted(AROUND)), st.integers(0, 2), st.booleans()
)


def built(drawn: Sequence[tuple[str, str, int, bool]], argument: bool, last: bool) -> Model:
    blocks: list[nn.Module] = []
    for kind, around, depth, residual in drawn:
        blocks += [AROUND[around](), Nested(KINDS[kind].make(), depth, residual)]
    return Model(blocks, argument, last)


def state_of(module: nn.Module) -> list[Any]:
    """All that a module holds, to see whether it was left alone."""
    return [
        (name, key, value.tolist() if isinstance(value, Tensor) else id(value))
        for name, child in module.named_modules()
        for store in (vars(child), child._buffers, child._parameters)
        for key, value in store.items()
    ]


@given(
    drawn=st.lists(BLOCK, min_size=1, max_size=2),
    argument=st.booleans(),
    last=st.booleans(),
    batch=st.integers(1, 3),
    cuts=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    seed=st.integers(0, 2**31),
)
@settings(
    max_examples=int(os.environ.get("STATES", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_random_modules_with_hidden_state_are_streamed_as_in_eager_pytorch(
    drawn: list[tuple[str, str, int, bool]],
    argument: bool,
    last: bool,
    batch: int,
    cuts: list[int],
    seed: int,
) -> None:
    torch.manual_seed(seed)
    module = built(drawn, argument, last)
    only = 1 if any(KINDS[kind].batch for kind, *_ in drawn) else batch
    before = state_of(module)
    pure = explicit(module, torch.randn(only, 4, SIZE), axes=AXES)
    assert state_of(module) == before
    assert pure.contract.time == "time"
    x = torch.randn(batch, sum(cuts), SIZE)
    expected = eager(module, x)
    for pieces in (cuts, [sum(cuts)], [1] * sum(cuts)):
        found = joined(streamed(pure, x, pieces), last)
        np.testing.assert_allclose(found, expected, FLOAT32.rtol, FLOAT32.atol)


@given(
    drawn=st.lists(BLOCK, max_size=2),
    wrong=st.sampled_from(REFUSED),
    place=st.integers(0, 2),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_looks_ahead_is_refused_by_the_name_of_the_submodule(
    drawn: list[tuple[str, str, int, bool]], wrong: str, place: int, seed: int
) -> None:
    torch.manual_seed(seed)
    drawn = [*drawn[:place], (wrong, "linear", 1, True), *drawn[place:]]
    module = built(drawn, argument=False, last=False)
    at = [kind for kind, *_ in drawn].index(wrong)
    name = f"blocks.{2 * at + 1}.inner.inner"
    name += f".{KINDS[wrong].refused}" if KINDS[wrong].refused else ""
    only = 1 if any(KINDS[kind].batch for kind, *_ in drawn) else 2
    x = torch.randn(only, 4, SIZE)
    with pytest.raises(MalformedError, match=rf"^'{name}' \(.*states=\"none\"$") as refused:
        explicit(module, x, axes=AXES)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "kinds", [("lstm 2 True", "none"), ("tuple", "gru 1 False"), ("causal", "counter", "flag")]
)
def test_the_pure_module_goes_through_onnx_and_streams_there(
    kinds: tuple[str, ...], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = built([(kind, "norm", 1, True) for kind in kinds], argument=True, last=False)
    pure = explicit(module, torch.randn(1, 4, SIZE), axes=AXES)
    session = written(pure, tmp_path / "m.onnx")

    def run(arrays: list[Any]) -> Any:
        return session.run(None, dict(zip(pure.example, arrays, strict=True)))

    x = torch.randn(3, 11, SIZE)
    found = joined(streamed(pure, x, [4, 1, 6], run), last=False)
    np.testing.assert_allclose(found, eager(module, x), FLOAT32.rtol, FLOAT32.atol)
