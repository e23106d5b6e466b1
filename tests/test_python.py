"""``import pipeline``: bundles that are called from Python."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import ROOT, Here
from embedded import bundle_of
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import open_session, refused

import pipeline as api
from pipeline import contract
from pipeline.contract.golden import trajectories
from pipeline.data.clock import in_time
from pipeline.errors import (
    IntegrityError,
    MalformedError,
    PipelineError,
    UnsafeError,
    UsageError,
)
from pipeline.runtimes.onnx_runtime import OnnxRuntime

CHAR, SINE, TWO, BOTH = "char-lstm", "sine-gru", "two", "both"
WAVE = np.sin(np.arange(40) / 10).astype(np.float32)
POINTS = np.array([[ord(character) for character in "the quick brown fox"]])


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Callable[[str], contract.Bundle]
) -> Path:
    """A folder with a text, a series, one of two columns, and one of whole sequences."""
    root = tmp_path_factory.mktemp("python")
    for name in (CHAR, SINE):
        shutil.copytree(tiny_bundle(name).folder, root / name)
    shutil.copytree(bundle_of("two columns", tmp_path_factory), root / TWO)
    shutil.copytree(bundle_of("both directions", tmp_path_factory), root / BOTH)
    return root


@pytest.fixture(scope="module")
def char(exported: Path) -> api.Bundle:
    return api.load(CHAR, exported)


@pytest.fixture(scope="module")
def sine(exported: Path) -> api.Bundle:
    return api.load(SINE, exported)


@pytest.fixture(scope="module")
def two(exported: Path) -> api.Bundle:
    return api.load(TWO, exported)


@pytest.fixture(scope="module")
def both(exported: Path) -> api.Bundle:
    return api.load(BOTH, exported)


def close(found: NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# --- opening


def in_python(code: str, folder: Path) -> str:
    """What a process of its own prints."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "utf8",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("", {"numpy", "pydantic", "pandas", "onnxruntime"}),
        (f"pipeline.load({CHAR!r}, '.')", {"pandas", "onnxruntime"}),
        (f"pipeline.load('./{CHAR}').stream()('the')", {"pandas"}),
        (f"pipeline.load({CHAR!r}, '.').generate('a', 3)", {"pandas"}),
        (f"pipeline.load({SINE!r}, '.').forecast([1, 2], 3, 4)", set()),
    ],
    ids=["import", "load", "stream", "generate", "forecast"],
)
def test_no_library_is_imported_before_it_is_needed(
    exported: Path, code: str, heavy: set[str]
) -> None:
    found = f"{heavy | {'torch', 'onnx'}!r} & set(sys.modules)"
    assert in_python(f"import pipeline\n{code}\nprint({found})", exported) == "set()\n"


def test_without_onnxruntime_a_bundle_opens_and_says_what_to_install(exported: Path) -> None:
    code = dedent(f"""
        sys.modules["onnxruntime"] = None
        import pipeline
        from pipeline.errors import UnavailableError
        bundle = pipeline.load({SINE!r}, ".")
        try:
            bundle.stream()
        except UnavailableError as error:
            print(bundle.name, error)
    """)
    found = in_python(code, exported)
    assert found.startswith(f"{SINE} onnxruntime is not installed; run ")
    assert "'onnxruntime>=1.21'" in found


def test_a_name_is_looked_up_and_a_path_is_a_path(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(exported, tmp_path / "exported")
    monkeypatch.chdir(tmp_path)
    for found in (
        api.load(SINE),
        api.load(f"exported/{SINE}"),
        api.load(tmp_path / "exported" / SINE),
        api.load(SINE, exported=Path("exported")),
    ):
        assert (found.name, found.folder.resolve()) == (SINE, tmp_path / "exported" / SINE)
    with refused(UsageError, "'sine-gr'", "did you mean 'sine-gru'"):
        api.load("sine-gr")
    with refused(MalformedError, "manifest is missing", "some/where"):
        api.load("some/where")


def test_a_bundle_that_was_changed_is_not_called(exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported / SINE, tmp_path / SINE))
    file = folder / "onnx/model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    bundle = api.load(folder)
    with refused(IntegrityError, "model.onnx was changed", "export it anew"):
        bundle.stream()
    file.unlink()
    file.symlink_to(exported / SINE / "onnx/model.onnx")
    with refused(UnsafeError, "model.onnx is a link"):
        bundle.run(input=WAVE[None, :, None])


def test_a_bundle_says_what_it_is(
    char: api.Bundle, sine: api.Bundle, two: api.Bundle, both: api.Bundle
) -> None:
    assert repr(char).startswith(
        f"Bundle {CHAR}: text, LSTM, 2 × 6 units; input int64 [batch, time]"
    )
    assert repr(char.stream(2)) == f"Stream of {CHAR}: batch 2, state float32 [2, 4, 6]"
    for bundle in (char, sine, two, both):
        assert len(repr(bundle).splitlines()) == 1
    assert (char.name, char.task, char.columns, char.targets) == (CHAR, "text", (), ())
    assert char.vocabulary is not None
    assert "q" in char.vocabulary
    assert [spec.name for spec in sine.inputs] == ["input", "state"]
    assert [spec.name for spec in sine.outputs] == ["output", "next_state"]
    assert sine.state is not None
    assert (sine.state.input, sine.window, sine.vocabulary) == ("state", None, None)
    assert (two.columns, two.targets) == (("a", "b"), ("a", "b"))
    assert (both.state, both.window) == (None, both.manifest.window)


def test_the_package_carries_its_types() -> None:
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'package-data = { "pipeline" = ["py.typed"],' in settings
    assert (ROOT / "pipeline" / "py.typed").is_file()
    assert {"Bundle", "Stream", "load"} <= set(dir(api))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = api.lod  # type: ignore[attr-defined]


# --- one call


@pytest.mark.parametrize("name", [CHAR, SINE, TWO, BOTH])
def test_one_call_gives_the_golden_numbers(exported: Path, name: str) -> None:
    bundle = api.load(name, exported)
    calls = 0
    for trajectory in trajectories(bundle.golden(), bundle.manifest):
        state = trajectory.state
        for call in trajectory.calls:
            given = {"input": call["input"]} | ({} if state is None else {"state": state})
            found = bundle.run(**given)
            assert found.keys() == call.keys() - {"input"}
            for tensor, array in found.items():
                close(array, call[tensor])
            state = found.get("next_state")
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
        (CHAR, {"input": np.array([[1]], np.uint64)}, MalformedError, ["is uint64", "int64"]),
        (CHAR, {"input": "a\ud800"}, UsageError, ["not Unicode at character 1"]),
        (CHAR, {"input": ""}, MalformedError, ["shape [1, 0]"]),
        (CHAR, {"input": "a", "state": np.zeros((2, 4, 6))}, MalformedError, ["batch is 1 here"]),
        (CHAR, {"input": "a", "state": np.zeros((1, 4, 5))}, MalformedError, ["[batch, 4, 6]"]),
        (BOTH, {"input": [[[1.0]]], "state": [0.0]}, UsageError, ["'state'", "input"]),
    ],
)
def test_what_the_contract_does_not_say_is_refused_in_one_line(
    exported: Path, name: str, given: dict[str, Any], error: type[PipelineError], words: list[str]
) -> None:
    with refused(error, *words):
        api.load(name, exported).run(**given)


# --- streams


@pytest.mark.parametrize("name", [CHAR, SINE, TWO])
def test_a_stream_replays_the_golden_trajectories(exported: Path, name: str) -> None:
    bundle = api.load(name, exported)
    for trajectory in trajectories(bundle.golden(), bundle.manifest):
        stream = bundle.stream(len(trajectory.calls[0]["input"]))
        assert trajectory.state is not None
        stream.state = trajectory.state
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
    with refused(UsageError, "both directions and carries no state", f"{both.window} steps"):
        both.stream()
    with refused(UsageError, "both directions", "without --bidirectional"):
        both.forecast(WAVE)
    assert both.run(input=WAVE[None, :, None])["output"].shape == (1, 1, 1)


@pytest.mark.parametrize("batch", [0, -1, 1.5, "2", None])
def test_a_batch_is_a_whole_number(sine: api.Bundle, batch: Any) -> None:
    with refused(UsageError, f"batch is {batch!r}", "from 1 up"):
        sine.stream(batch)


def test_the_sessions_of_a_small_bundle_have_one_thread(sine: api.Bundle) -> None:
    for graph in (sine.graph, sine.loop_graph):
        assert graph.session.get_session_options().intra_op_num_threads == 1


# --- text


def test_a_text_is_that_of_the_command(exported: Path, char: api.Bundle, pipeline: Here) -> None:
    arguments = ["--prompt", "the ", "--length", "50", "--temperature", "0.7", "--top-k", "9"]
    arguments += ["--top-p", "0.9", "--seed", "3", "--json"]
    told = json.loads(pipeline("run", str(exported / CHAR), *arguments).out)
    made = char.generate("the ", 50, temperature=0.7, top_k=9, top_p=0.9, seed=3)
    assert made == told["texts"][0]["text"]
    assert len(made) == 50
    assert char.generate("the ", 50, temperature=0.7, top_k=9, top_p=0.9, seed=4) != made
    assert char.generate("Ж", 0) == ""


def test_the_likeliest_text_is_what_a_stream_says(char: api.Bundle) -> None:
    stream, text = char.stream(), ""
    assert char.vocabulary is not None
    logits = stream("the ")
    for _ in range(20):
        text += char.vocabulary[int(logits[0, -1, 1:].argmax())]
        logits = stream(text[-1])
    assert char.generate("the ", 20, temperature=0) == text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"length": -1}, ["length is -1", "from 0 up"]),
        ({"length": 2.5}, ["length is 2.5", "whole number"]),
        ({"temperature": -0.1}, ["temperature is -0.1", "from 0 up"]),
        ({"temperature": float("nan")}, ["temperature is nan"]),
        ({"temperature": float("inf")}, ["temperature is inf"]),
        ({"temperature": "hot"}, ["temperature is 'hot'"]),
        ({"top_k": -1}, ["top_k is -1"]),
        ({"top_p": 0}, ["top_p is 0"]),
        ({"top_p": 1.1}, ["top_p is 1.1", "from 0 to 1"]),
        ({"seed": -1}, ["seed is -1"]),
        ({"prompt": b"a"}, ["prompt is bytes"]),
        ({"prompt": "\udcff"}, ["prompt: not Unicode at character 0"]),
    ],
    ids=str,
)
def test_settings_of_a_text_out_of_their_range_are_refused(
    char: api.Bundle, arguments: dict[str, Any], words: list[str]
) -> None:
    with refused(UsageError, *words):
        char.generate(**{"prompt": "a"} | arguments)


def test_each_task_has_its_own_call(char: api.Bundle, sine: api.Bundle) -> None:
    with refused(UsageError, "sine-gru is a series model", "use forecast"):
        sine.generate("a")
    with refused(UsageError, "char-lstm is a text model", "use generate"):
        char.forecast(WAVE)


# --- series


def test_a_forecast_is_that_of_the_command(
    exported: Path, sine: api.Bundle, pipeline: Here
) -> None:
    rows = "".join(f"{value:.9g}\n" for value in WAVE)
    Path("wave.csv").write_text(f"value\n{rows}")
    arguments = [
        "--history",
        "wave.csv",
        "--steps",
        "6",
        "--samples",
        "20",
        "--seed",
        "5",
        "--json",
    ]
    told = json.loads(pipeline("run", str(exported / SINE), *arguments).out)
    made = sine.forecast(pd.DataFrame({"value": WAVE}), steps=6, samples=20, seed=5)
    assert list(made.columns) == ["value", "value 10%", "value 50%", "value 90%"]
    assert made["value"].tolist() == np.ravel(told["forecast"]).tolist()
    close(made.to_numpy()[:, 1:].T, np.array(told["quantiles"])[:, :, 0])
    assert list(made.index) == list(range(40, 46))


def test_a_history_comes_in_any_form(two: api.Bundle) -> None:
    values = np.stack([WAVE, 50 + WAVE], axis=1)
    frame = pd.DataFrame({"note": "x", "b": values[:, 1], "a": values[:, 0]})
    expected = two.forecast(frame, steps=3)
    assert list(expected.columns) == ["a", "b"]
    for form in (
        {"a": values[:, 0], "b": list(values[:, 1])},
        values,
        values.tolist(),
        frame.set_axis(np.arange(40) + 7, axis=0),
    ):
        pd.testing.assert_frame_equal(two.forecast(form, steps=3), expected)
    close(two.stream()(values[None])[0, -1], expected.to_numpy()[0])


def test_a_single_column_needs_no_name(sine: api.Bundle) -> None:
    expected = sine.forecast(pd.DataFrame({"any": WAVE}), steps=3)
    for form in (WAVE, WAVE[:, None], pd.Series(WAVE), pd.Series(WAVE, name="any"), [*WAVE]):
        made = sine.forecast(form, steps=3)
        assert np.array_equal(made.to_numpy(), expected.to_numpy())
        assert list(made.columns) == [getattr(form, "name", None) or "y"]


DATES = {
    "months": pd.date_range("2023-11-01", periods=15, freq="MS"),
    "ends of months": pd.date_range("2023-10-31", periods=15, freq="ME"),
    "quarters": pd.date_range("2020-01-15", periods=9, freq=pd.DateOffset(months=3)),
    "years": pd.date_range("2000-12-31", periods=9, freq="YE"),
    "weeks": pd.date_range("2024-01-07", periods=9, freq="W"),
    "business days": pd.date_range("2024-01-01", periods=15, freq="B"),
    "days": pd.date_range("2024-02-20", periods=15, freq="D"),
    "quarters of hours": pd.date_range("2024-02-28 23:00", periods=15, freq="15min"),
    "midnights of a zone": pd.date_range("2024-03-20", periods=15, freq="D", tz="Europe/Berlin"),
    "hours of a zone": pd.date_range("2024-03-30 20:00", periods=15, freq="h", tz="Europe/Berlin"),
    "months of a zone": pd.date_range("2024-01-01", periods=9, freq="MS", tz="America/New_York"),
}
AHEAD = 5


@pytest.mark.parametrize("kind", DATES)
def test_the_dates_follow_in_the_index_or_in_their_column(sine: api.Bundle, kind: str) -> None:
    dates = DATES[kind]
    values = WAVE[: len(dates) - AHEAD]
    history, following = dates[:-AHEAD].rename("when"), dates[-AHEAD:]
    in_index = sine.forecast(pd.Series(values, index=history, name="load"), AHEAD)
    assert (in_index.index.name, in_index.columns.tolist()) == ("when", ["load"])
    assert in_index.index.tolist() == following.tolist()
    assert in_index.index.tz == dates.tz
    in_column = sine.forecast(pd.DataFrame({"when": history, "load": values}), AHEAD)
    assert in_column.columns.tolist() == ["when", "load"]
    assert in_column["when"].tolist() == following.tolist()
    assert np.array_equal(in_column["load"], in_index["load"])


def test_dates_may_be_words_numbers_or_periods(sine: api.Bundle) -> None:
    def following(times: Any) -> list[Any]:
        found = sine.forecast(pd.DataFrame({"time": times, "y": WAVE[: len(times)]}), 2)
        return list(found["time"])

    assert following(["2024-01-30", "2024-01-31"]) == [*pd.date_range("2024-02-01", periods=2)]
    assert following([20240130, 20240131]) == [*pd.date_range("2024-02-01", periods=2)]
    assert following([2001, 2002, 2003]) == [2004, 2005]
    assert following([0.5, 1.0, 1.5]) == [2.0, 2.5]
    words = pd.Series(WAVE[:3], index=["2024-01-29", "2024-01-30", "2024-01-31"])
    assert sine.forecast(words, 1).index.tolist() == [pd.Timestamp("2024-02-01")]
    months = pd.Series(WAVE[:3], index=pd.period_range("2023-12", periods=3, freq="M"))
    assert sine.forecast(months, 2).index.equals(pd.period_range("2024-03", periods=2, freq="M"))


def test_rows_may_stand_in_any_order(sine: api.Bundle) -> None:
    dates = pd.date_range("2024-01-01", periods=20)
    frame = pd.DataFrame({"value": WAVE[:20]}, index=dates)
    shuffled = frame.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(sine.forecast(shuffled, 3), sine.forecast(frame, 3))


@pytest.mark.parametrize(("step", "following"), [("B", "2024-01-08"), ("MS", "2024-02-01")])
def test_averages_follow_the_steps_that_they_were_made_on(step: str, following: str) -> None:
    times = pd.Series(pd.to_datetime(["2023-12-04 09:00", "2024-01-05 12:00", "2024-01-05 18:00"]))
    if step == "B":
        times = times - pd.to_timedelta([31, 0, 0], unit="D")
    found = in_time(pd.DataFrame({"y": [1.0, 2, 4]}), times, step, False, Path("a"))[1]
    assert found.following(1).tolist() == [pd.Timestamp(following)]


def test_quantiles_stand_beside_each_target(two: api.Bundle) -> None:
    history = np.stack([WAVE, 50 + WAVE], axis=1)
    made = two.forecast(history, steps=4, samples=200, seed=1)
    assert made.shape == (4, 8)
    for name in ("a", "b"):
        low, middle, high = (made[f"{name} {share}%"] for share in (10, 50, 90))
        assert (low < middle).all()
        assert (middle < high).all()
    pd.testing.assert_frame_equal(two.forecast(history, steps=4, samples=200, seed=1), made)
    assert two.forecast(history, steps=0, samples=3).shape == (0, 8)


LATE = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-05"])


@pytest.mark.parametrize(
    ("name", "frame", "error", "words"),
    [
        (TWO, {"a": WAVE, "c": WAVE}, UsageError, ["'b'", "choose from a, c"]),
        (TWO, WAVE, UsageError, ["'a'", "choose from y"]),
        (SINE, {"u": WAVE, "v": WAVE}, UsageError, ["2 columns", "u, v", "reads 1"]),
        (SINE, np.zeros((4, 1, 1)), MalformedError, ["is no table"]),
        (SINE, {"u": [1, 2], "v": [1]}, MalformedError, ["is no table"]),
        (SINE, "wave.csv", MalformedError, ["is no table"]),
        (SINE, [], MalformedError, ["no rows"]),
        (SINE, [1.0, np.nan, 2.0], MalformedError, ["row 1", "column 'y'", "is missing"]),
        (SINE, [1.0, np.inf], MalformedError, ["row 1", "not finite"]),
        (SINE, {"load": ["1", "x"]}, MalformedError, ["row 1", "'x' is not a number"]),
        (SINE, pd.Series([1.0], index=LATE[:1]), UsageError, ["one row", "which times follow"]),
        (SINE, pd.Series(range(4), index=LATE), MalformedError, ["row 3", "2 steps after row 2"]),
        (SINE, pd.Series([1, 2], index=LATE[[0, 0]]), MalformedError, ["stands in row 0 already"]),
        (SINE, pd.DataFrame([[1, 2]], columns=["u", "u"]), MalformedError, ["two columns", "'u'"]),
    ],
)
def test_a_history_that_does_not_fit_is_refused_with_its_place(
    exported: Path, name: str, frame: Any, error: type[PipelineError], words: list[str]
) -> None:
    with refused(error, *words):
        api.load(name, exported).forecast(frame, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": -1}, ["steps is -1"]),
        ({"samples": "few"}, ["samples is 'few'"]),
        ({"seed": 0.5}, ["seed is 0.5"]),
        ({"steps": 10**6, "samples": 10**6}, ["over 50,000,000", "give fewer"]),
    ],
)
def test_a_forecast_that_cannot_be_is_refused_before_it_is_made(
    sine: api.Bundle, arguments: dict[str, Any], words: list[str]
) -> None:
    with refused(UsageError, *words):
        sine.forecast(WAVE, **arguments)


# --- validation, and what is written about all this


def test_validation_gives_its_records_and_writes_nothing(sine: api.Bundle) -> None:
    before = sorted(path.name for path in sine.folder.iterdir())
    found = sine.validate(runtimes=("onnxruntime",), providers=("cpu",))
    assert found.passed
    assert (found.model, found.bundle_sha256) == (SINE, sine.digest)
    runtimes = {row.runtime for row in found.rows if row.graph == "model"}
    assert OnnxRuntime(sine.read("onnx/model.onnx"), "cpu").name in runtimes
    assert sorted(path.name for path in sine.folder.iterdir()) == before
    with refused(UsageError, "'onnxruntme'", "did you mean 'onnxruntime'"):
        sine.validate(runtimes=("onnxruntme",))


@pytest.mark.parametrize("documented", [api, api.Stream], ids=["package", "Stream"])
def test_the_examples_in_the_documentation_run(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documented: Any
) -> None:
    for name, copy in ((CHAR, "char-lstm"), (TWO, "load-lstm")):
        shutil.copytree(exported / name, tmp_path / "exported" / copy)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "frame": pd.DataFrame({"a": WAVE, "b": WAVE}, index=pd.date_range("2024", periods=40)),
        "bundle": api.load("char-lstm"),
        "x": POINTS,
    }
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", dedent(f"    {documented.__doc__}"))
    assert blocks
    for block in blocks:
        exec(dedent(block), names)
    if "ahead" in names:
        assert names["ahead"].index[0] == pd.Timestamp("2024-02-10")
        assert names["logits"].shape[:2] == (1, 9)
    else:
        close(np.concatenate(names["pieces"], axis=1), names["whole"])
