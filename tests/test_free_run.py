"""Free runs: a text to its first other character, a forecast until it strays too far."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from pipeline.bundle import Bundle, network_of
from pipeline.bundle.network import network_reference
from pipeline.bundle.trial import random_network
from pipeline.contract.law import FLOAT32, LESS_THAN_FLOAT32, Array
from pipeline.model import Network
from pipeline.runtimes.base import State
from pipeline.runtimes.chain import free_run
from pipeline.runtimes.pytorch import PyTorch
from pipeline.validate import cases
from pipeline.validate import free_run as module
from pipeline.validate.free_run import FreeAnswer, compare_free_run, free_answer
from pipeline.verify import TaskReference

Bundles = Callable[[str], Bundle]
Change = Callable[[State, int], State]


class Changed(PyTorch):
    """PyTorch, its output changed by ``change`` from call ``first`` on."""

    def __init__(self, network: Network, change: Change, first: int = 0) -> None:
        super().__init__(network)
        self.change, self.first, self.calls = change, first, 0

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        output, next_state = super().call(inputs)
        if self.calls >= self.first:
            output = self.change(output, self.calls)
        self.calls += 1
        return [output, next_state]


def reference_of(bundle: Bundle) -> TaskReference:
    return network_reference(network_of(bundle), bundle.task_data())


def answer_of(bundle: Bundle) -> FreeAnswer:
    found = free_answer(reference_of(bundle), FLOAT32)
    assert found is not None
    return found


def test_the_real_streams_are_long() -> None:
    """The other tests run with short ones."""
    stream, steps = (Path(str(where.__file__)).read_text("utf-8") for where in (cases, module))
    assert "\nSTREAM = 10_000 " in stream
    assert "\nSTEPS = 500\n" in steps


def test_a_text_is_made_of_the_likeliest_characters(tiny_bundle: Bundles) -> None:
    bundle = tiny_bundle("char-lstm")
    runtime, vocabulary = PyTorch(network_of(bundle)), bundle.manifest.vocabulary or ""
    given, state = bundle.task_data()[None, :10], reference_of(bundle).zero_state(1)
    made = free_run(runtime, given, state, 8, vocabulary)
    whole = np.concatenate([given, made[None]], axis=1)
    logits = runtime.run(whole, state)[0][0, 9:-1, 1:]
    assert made.tolist() == [ord(vocabulary[index]) for index in logits.argmax(axis=1)]


def test_a_forecast_is_made_of_its_own_values(tiny_bundle: Bundles) -> None:
    bundle = tiny_bundle("sine-gru")
    runtime = PyTorch(network_of(bundle))
    given, state = bundle.task_data()[None, :10], reference_of(bundle).zero_state(1)
    made = free_run(runtime, given, state, 8, None)
    whole = np.concatenate([given, made[None]], axis=1)
    np.testing.assert_allclose(made, runtime.run(whole, state)[0][0, 9:-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("preset", ["sine-lstm", "char-gru"])
def test_an_honest_runtime_goes_all_the_way(tiny_bundle: Bundles, preset: str) -> None:
    bundle = tiny_bundle(preset)
    found = compare_free_run(PyTorch(network_of(bundle)), answer_of(bundle))
    assert (found.steps, found.first_difference, found.passed) == (module.STEPS, None, True)


def test_a_text_that_differs_fails_at_that_step(tiny_bundle: Bundles) -> None:
    def other(output: State, call: int) -> State:
        return -output

    bundle = tiny_bundle("char-gru")
    found = compare_free_run(Changed(network_of(bundle), other, first=5), answer_of(bundle))
    assert (found.first_difference, found.tie, found.passed) == (5, False, False)
    assert "instead of" in found.note


def test_two_characters_within_the_tolerance_are_a_tie_and_no_failure(
    tiny_bundle: Bundles,
) -> None:
    bundle = tiny_bundle("char-gru")
    exact = answer_of(bundle)
    second = np.argsort(exact.exact[3, 1:])[-2] + 1
    first = 1 + (bundle.manifest.vocabulary or "").index(chr(exact.made[3]))
    gap = exact.exact[3, first] - exact.exact[3, second]

    def lift(output: State, call: int) -> State:
        changed = output.copy()
        changed[0, -1, second] += np.float32(gap + 1e-4 if call == 3 else 0)
        return changed

    def found(limits: float) -> tuple[int | None, bool, bool]:
        wide = FreeAnswer(**{**vars(exact), "limits": np.full_like(exact.exact, limits)})
        run = compare_free_run(Changed(network_of(bundle), lift), wide)
        return run.first_difference, run.tie, run.passed

    assert found(0.51 * gap) == (3, True, True)
    assert found(0.49 * gap) == (3, False, False)


def test_a_forecast_may_stray_as_far_as_the_tolerance_makes_it(tiny_bundle: Bundles) -> None:
    bundle = tiny_bundle("sine-lstm")
    exact = answer_of(bundle)
    assert (exact.limits >= FLOAT32.atol).all()

    def leaning(share: float) -> Change:
        return lambda output, call: (output * np.float32(1 + share * FLOAT32.rtol)).astype(
            np.float32
        )

    assert compare_free_run(Changed(network_of(bundle), leaning(0.5)), exact).passed
    found = compare_free_run(Changed(network_of(bundle), leaning(1000), first=4), exact)
    assert (found.first_difference, found.passed) == (4, False)
    assert ", not " in found.note


def test_numbers_that_are_none_fail(tiny_bundle: Bundles) -> None:
    def nothing(output: State, call: int) -> State:
        return np.full_like(output, np.nan)

    bundle = tiny_bundle("sine-lstm")
    found = compare_free_run(Changed(network_of(bundle), nothing, first=2), answer_of(bundle))
    assert (found.first_difference, found.passed) == (2, False)


def test_in_less_than_float32_a_forecast_that_strays_is_shown_and_no_failure(
    tiny_bundle: Bundles,
) -> None:
    bundle = tiny_bundle("sine-lstm")
    exact = free_answer(reference_of(bundle), LESS_THAN_FLOAT32["bfloat16"], "bfloat16")
    assert exact is not None

    def off(output: State, call: int) -> State:
        return output + np.float32(50)

    found = compare_free_run(Changed(network_of(bundle), off, first=4), exact)
    assert (found.first_difference, found.passed) == (4, True)


def test_a_chaotic_network_is_followed_only_while_pytorch_itself_can() -> None:
    network = random_network("series", "rnn", hidden_size=64, num_layers=2, seed=3, gain=6)
    source = np.sin(np.arange(300) / 5, dtype=np.float32)[:, None] + np.float32(3)
    exact = free_answer(network_reference(network, source), FLOAT32)
    assert exact is not None
    assert exact.steps < module.STEPS
    assert compare_free_run(PyTorch(network), exact).passed
