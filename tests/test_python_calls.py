"""``import pipeline``: one call, and streams that are cut anywhere."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from python_bundles import BOTH, CHAR, POINTS, SINE, TWO, WAVE, close
from tiny import open_session, refused

import pipeline as api
from pipeline.contract.golden import trajectories
from pipeline.errors import (
    MalformedError,
    PipelineError,
    UsageError,
)

# --- one call


@pytest.mark.parametrize("name", [CHAR, SINE, TWO, BOTH])
def test_one_call_gives_the_golden_numbers(at_work: Path, name: str) -> None:
    bundle = api.load(name, at_work)
    calls = 0
    for trajectory in trajectories(bundle.golden(), bundle.manifest):
        states = trajectory.states
        for call in trajectory.calls:
            found = bundle.run(input=call["input"], **states)
            assert found.keys() == call.keys() - {"input"}
            for tensor, array in found.items():
                close(array, call[tensor])
            states = {pair.input: found[pair.output] for pair in bundle.states}
            calls += 1
    assert calls > 1


def test_without_its_state_a_call_starts_from_zeros(sine: api.Bundle) -> None:
    x = np.stack([WAVE, -WAVE])[:, :, None]
    zeros = np.zeros((2, *sine.stream().state.shape[1:]))
    assert np.array_equal(sine.run(input=x)["output"], sine.run(input=x, state=zeros)["output"])


def test_whole_numbers_and_other_floats_are_numbers(sine: api.Bundle) -> None:
    expected = sine.run(input=np.array([[[1], [2]]], np.float32))["output"]
    for numbers in ([[[1], [2]]], np.array([[[1.0], [2.0]]]), np.array([[[1], [2]]], np.uint8)):
        assert np.array_equal(sine.run(input=numbers)["output"], expected)


@pytest.mark.parametrize(
    ("name", "given", "error", "words"),
    [
        (SINE, {"inptu": [[[1.0]]]}, UsageError, ["'inptu'", SINE, "did you mean 'input'"]),
        (SINE, {}, UsageError, ["reads input, which is missing", "[batch, time, 1]"]),
        (SINE, {"input": [1.0, 2.0]}, MalformedError, ["shape [2]", "float32 [batch, time, 1]"]),
        (SINE, {"input": [[[1.0, 2.0]]]}, MalformedError, ["shape [1, 1, 2]", "[batch, time, 1]"]),
        (SINE, {"input": np.zeros((1, 0, 1))}, MalformedError, ["shape [1, 0, 1]"]),
        (SINE, {"input": [[[1], [2, 3]]]}, MalformedError, ["input of sine-gru is no array"]),
        (SINE, {"input": [[["a"]]]}, MalformedError, ["give float32"]),
        (SINE, {"input": "a"}, MalformedError, ["give float32"]),
        (SINE, {"input": [[[True]]]}, MalformedError, ["is bool", "give float32"]),
        (SINE, {"input": [[[1j]]]}, MalformedError, ["is complex128", "give float32"]),
        (SINE, {"input": [[[0.0], [np.nan]]]}, MalformedError, ["input[0, 1, 0]", "NaN"]),
        (SINE, {"input": [[[-np.inf]]]}, MalformedError, ["input[0, 0, 0]", "infinite"]),
        (SINE, {"input": [[[1e300]]]}, MalformedError, ["too large for float32"]),
        (CHAR, {"input": [[84.0]]}, MalformedError, ["is float64", "int64", "code points"]),
        (
            CHAR,
            {"input": np.array([[2**63]], np.uint64)},
            MalformedError,
            ["out of range of int64"],
        ),
        (CHAR, {"input": "a\ud800"}, UsageError, ["not Unicode at character 1"]),
        (CHAR, {"input": ""}, MalformedError, ["shape [1, 0]"]),
        (CHAR, {"input": "a", "state": np.zeros((2, 4, 6))}, MalformedError, ["batch is 1 here"]),
        (CHAR, {"input": "a", "state": np.zeros((1, 4, 5))}, MalformedError, ["[batch, 4, 6]"]),
        (BOTH, {"input": [[[1.0]]], "state": [0.0]}, UsageError, ["'state'", "input"]),
    ],
)
def test_what_the_contract_does_not_say_is_refused_in_one_line(
    at_work: Path, name: str, given: dict[str, Any], error: type[PipelineError], words: list[str]
) -> None:
    with refused(error, *words):
        api.load(name, at_work).run(**given)


# --- streams


@pytest.mark.parametrize("name", [CHAR, SINE, TWO])
def test_a_stream_replays_the_golden_trajectories(at_work: Path, name: str) -> None:
    bundle = api.load(name, at_work)
    for trajectory in trajectories(bundle.golden(), bundle.manifest):
        stream = bundle.stream(len(trajectory.calls[0]["input"]))
        stream.state = trajectory.states["state"]
        for call in trajectory.calls:
            close(stream(call["input"]), call["output"])
            close(stream.state, call["next_state"])


@given(cuts=st.sets(st.integers(1, POINTS.shape[1] - 1)), batch=st.integers(1, 3))
def test_wherever_a_stream_is_cut_it_is_one_call(
    char: api.Bundle, cuts: set[int], batch: int
) -> None:
    x = np.concatenate([np.roll(POINTS, row, axis=1) for row in range(batch)])
    whole = char.run(input=x)
    stream = char.stream(batch)
    pieces = [stream(piece) for piece in np.split(x, sorted(cuts), axis=1)]
    close(np.concatenate(pieces, axis=1), whole["output"])
    close(stream.state, whole["next_state"])


@given(pieces=st.lists(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=5), min_size=1))
def test_every_piece_goes_on_from_the_state_of_the_one_before(
    sine: api.Bundle, pieces: Sequence[Sequence[float]]
) -> None:
    stream, session = sine.stream(), open_session(sine.read("onnx/model.onnx"))
    state = stream.state
    for piece in pieces:
        x = np.array(piece, np.float32)[None, :, None]
        expected, state = session.run(None, {"input": x, "state": state})
        assert np.array_equal(stream(x), expected)
        assert np.array_equal(stream.state, state)


def test_a_text_may_be_given_as_it_is(char: api.Bundle) -> None:
    assert np.array_equal(char.stream()("the quick brown fox"), char.stream()(POINTS))
    with refused(MalformedError, "shape [1, 2]", "batch is 3 here"):
        char.stream(3)("ab")


def test_a_stream_starts_anew_after_a_reset(char: api.Bundle) -> None:
    stream = char.stream()
    first = stream("the quick")
    assert not np.array_equal(stream("the quick"), first)
    stream.reset()
    assert np.array_equal(stream("the quick"), first)
    assert stream.state.any()
    stream.reset()
    assert not stream.state.any()


def test_a_copy_goes_on_alone(char: api.Bundle) -> None:
    stream = char.stream(2)
    stream(np.repeat(POINTS, 2, axis=0))
    twin, before = stream.copy(), stream.state.copy()
    assert (twin.batch, twin.state.tolist()) == (2, before.tolist())
    made = twin([[97], [98]])
    assert np.array_equal(stream.state, before)
    assert not np.array_equal(twin.state, before)
    assert np.array_equal(stream([[97], [98]]), made)


def test_a_state_that_was_kept_can_be_put_back(char: api.Bundle) -> None:
    stream = char.stream()
    stream("the quick")
    kept = stream.state
    expected = stream(" brown")
    for state in (kept, kept.tolist(), kept.astype(np.float64)):
        other = char.stream()
        other.state = state
        assert np.array_equal(other(" brown"), expected)
    mine = np.array(kept)
    other.state = mine
    mine[:] = 0  # what a stream was given is its own
    assert np.array_equal(other(" brown"), expected)
    with pytest.raises(ValueError, match="read-only"):
        stream.state[0] = 0


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (np.zeros((2, 4, 6)), ["state of char-lstm", "shape [2, 4, 6]", "batch is 1 here"]),
        (np.zeros((1, 4)), ["shape [1, 4]", "[batch, 4, 6]"]),
        (np.full((1, 4, 6), np.nan), ["state[0, 0, 0]", "NaN"]),
        ("zeros", ["state of char-lstm", "give float32"]),
    ],
)
def test_a_state_that_does_not_fit_leaves_the_stream_as_it_was(
    char: api.Bundle, state: Any, words: list[str]
) -> None:
    stream = char.stream()
    stream("the")
    before = stream.state
    with refused(MalformedError, *words):
        stream.state = state
    with refused(MalformedError, "float64"):
        stream([[0.5]])
    assert stream.state is before


def test_whole_sequences_do_not_stream(both: api.Bundle) -> None:
    with refused(UsageError, "whole sequences and carries no state", f"{both.window} steps"):
        both.stream()
    with refused(UsageError, "both directions", "without --bidirectional"):
        both.forecast(WAVE)
    assert both.run(input=WAVE[None, :, None])["output"].shape == (1, 1, 1)


def test_streams_of_one_bundle_may_run_side_by_side(char: api.Bundle) -> None:
    def read(row: int) -> NDArray[np.float32]:
        stream, x = char.stream(), np.roll(POINTS, row, axis=1)
        return np.concatenate([stream(x[:, at : at + 1]) for at in range(x.shape[1])], axis=1)

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(read, range(8)))
    for row, found in enumerate(together):
        assert np.array_equal(found, read(row))


@pytest.mark.parametrize("batch", [0, -1, 1.5, "2", None])
def test_a_batch_is_a_whole_number(sine: api.Bundle, batch: Any) -> None:
    with refused(UsageError, f"batch is {batch!r}", "from 1 up"):
        sine.stream(batch)


def test_the_sessions_of_a_small_bundle_have_one_thread(sine: api.Bundle) -> None:
    for graph in (sine.graph, sine.loop_graph):
        assert graph.session.get_session_options().intra_op_num_threads == 1
