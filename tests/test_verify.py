"""The engine of verification, over a contract that no network of ours has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract.law import Array
from pipeline.contract.tensors import Contract, ElementType, Tensors, TensorSpec
from pipeline.verify import Answer, Case, answer, deviations, own_errors, replay


def spec(name: str, type: ElementType, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, type=type, shape=shape, meaning="of a test")


# Time comes first, one state has the batch in its second axis, the other counts in integers.
CONTRACT = Contract(
    inputs=(
        spec("x", "float32", "t", "n", 2),
        spec("memory", "float32", 1, "n", 2),
        spec("bias", "float32", 2),
        spec("steps", "int64", "n"),
    ),
    outputs=(
        spec("y", "float32", "t", "n", 2),
        spec("steps_next", "int64", "n"),
        spec("memory_next", "float32", 1, "n", 2),
        spec("last", "float32", "n"),
    ),
    states=(("memory", "memory_next"), ("steps", "steps_next")),
    batch="n",
    time="t",
)
Change = Callable[[Tensors, Mapping[str, Array]], None]


@dataclass
class Leaky:
    """``m' = leak·m + x + bias`` and ``y = m' + steps / 8``, in one precision or the other."""

    dtype: type[np.floating] = np.float32
    leak: float = 0.5
    change: Change = lambda found, given: None

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        assert [*inputs] == [spec.name for spec in CONTRACT.inputs]
        x, memory, bias = (inputs[k].astype(self.dtype) for k in ("x", "memory", "bias"))
        steps, made = inputs["steps"].copy(), []
        for row in x:
            memory = self.dtype(self.leak) * memory + row + bias
            steps = steps + 1
            made.append(memory[0] + (steps[:, None] / 8).astype(self.dtype))
        y = np.stack(made)
        found = dict(
            zip(
                ("y", "steps_next", "memory_next", "last"),
                (y, steps, memory, y[-1, :, 0]),
                strict=True,
            )
        )
        self.change(found, inputs)
        return [*found.values()]


def inputs(batch: int, time: int, seed: int = 0) -> tuple[Tensors, Tensors]:
    """What goes in over the whole time, and the states."""
    rng = np.random.default_rng(seed)
    given = {
        "x": rng.normal(size=(time, batch, 2)).astype(np.float32),
        "bias": rng.normal(size=2).astype(np.float32),
    }
    states: Tensors = {
        "memory": rng.normal(size=(1, batch, 2)).astype(np.float32),
        "steps": rng.integers(0, 9, batch),
    }
    return given, states


def case(batch: int = 3, cuts: tuple[int, ...] = (2, 1, 4), **options: object) -> Case:
    time = sum(cuts)
    given, states = inputs(batch, time)
    options = {"batch": batch, "time": time} | options
    return Case("a case", CONTRACT.cut(given, cuts), states, **options)  # type: ignore[arg-type]


def truth(given: Case, leak: float = 0.5, contract: Contract = CONTRACT) -> Answer:
    return answer(contract, given, Leaky(leak=leak), Leaky(np.float64, leak))


def shares(model: Leaky, exact: Answer) -> dict[str, float]:
    found = replay(model, exact.contract, exact.case)
    places = deviations(found, exact)
    return {name: max(place.share for place in several) for name, several in places.items()}


@given(
    ends=st.sets(st.integers(1, 8)),
    batch=st.integers(1, 4),
    data=st.data(),
)
def test_pieces_in_any_order_of_rows_give_what_the_whole_gives(
    ends: set[int], batch: int, data: st.DataObject
) -> None:
    cuts = tuple(b - a for a, b in pairwise([0, *sorted(ends), 9]))
    order = tuple(data.draw(st.permutations(range(batch))))
    exact = truth(case(batch, cuts, order=order))
    assert len(exact.exact) == 1
    assert exact.exact[0]["y"].shape == (9, batch, 2)
    assert max(shares(Leaky(), exact).values()) <= 1


def swapped(found: Tensors, _: object) -> None:
    found["memory_next"] = found["memory_next"][:, :, ::-1]


def frozen(found: Tensors, given: Mapping[str, Array]) -> None:
    found["memory_next"] = given["memory"]


def uncounted(found: Tensors, given: Mapping[str, Array]) -> None:
    found["steps_next"] = given["steps"]


def mixed(found: Tensors, _: object) -> None:
    found["y"] = found["y"][:, ::-1]


def first(found: Tensors, _: object) -> None:
    found["last"] = found["y"][0, :, 0]


@pytest.mark.parametrize(
    ("fault", "seen"),
    [(swapped, "memory_next"), (frozen, "memory_next"), (uncounted, "steps_next"),
     (mixed, "y"), (first, "last")],
)  # fmt: skip
def test_a_fault_in_one_tensor_is_seen_there(fault: Change, seen: str) -> None:
    assert shares(Leaky(change=fault), truth(case()))[seen] > 1


def test_without_an_axis_of_time_every_call_is_compared() -> None:
    contract = replace(CONTRACT, time=None)
    exact = truth(case(), contract=contract)
    assert [call["y"].shape[0] for call in exact.exact] == [2, 1, 4]
    places = deviations(replay(Leaky(), contract, exact.case), exact)
    assert [place.tensor for place in places["y"]] == ["call 1, y", "call 2, y", "call 3, y"]
    assert all(place.within for several in places.values() for place in several)
    assert shares(Leaky(change=frozen), exact)["memory_next"] > 1


@pytest.mark.parametrize("time", ["t", None])
def test_a_model_that_amplifies_rounding_is_compared_step_by_step(time: str | None) -> None:
    contract = replace(CONTRACT, time=time)
    exact = truth(case(cuts=(1,) * 30), leak=3.0, contract=contract)
    assert exact.ill_conditioned
    assert exact.contract.states == ()
    assert max(shares(Leaky(leak=3.0), exact).values()) <= 1
    assert shares(Leaky(leak=2.999), exact)["y"] > 1
    assert shares(Leaky(leak=3.0, change=mixed), exact)["y"] > 1


def test_without_a_float64_twin_the_reference_is_its_own_truth() -> None:
    exact = answer(CONTRACT, case(), Leaky(), None)
    assert exact.exact is exact.expected
    assert set(exact.own.values()) == {0.0}
    assert max(shares(Leaky(), exact).values()) == 0


def test_own_errors_are_known_from_nudged_runs_too() -> None:
    exact, model = truth(case(batch=1, cuts=(8,)), leak=1.9), Leaky(leak=1.9)
    followed = replace(exact, case=replace(exact.case, followed=True))
    assert own_errors(exact, model)["y"] > own_errors(followed, model)["y"]
    assert own_errors(exact, model)["steps_next"] == 0


def test_a_model_with_too_few_outputs_or_another_shape_is_refused() -> None:
    exact = truth(case())
    with pytest.raises(ValueError, match="zip"):
        replay(Leaky(change=lambda found, _: found.popitem() and None), CONTRACT, exact.case)

    def short(found: Tensors, _: object) -> None:
        found["last"] = found["last"][:1]

    with pytest.raises(ValueError, match=r"last has shape \[1\], not \[3\]"):
        shares(Leaky(change=short), exact)
