"""Networks that take whole sequences: windows, scores and free runs."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from family_networks import OPTIONS, call, network
from tiny import (
    TEXT,
    new_trainer,
    series_config,
    text_config,
    trained,
)

from pipeline.config import WHOLE_SEQUENCES
from pipeline.contract import SeriesScores, TextScores
from pipeline.contract.held_out import code_points
from pipeline.contract.samples import outside
from pipeline.data import Series, Text
from pipeline.export import export
from pipeline.runtimes.chain import free_run
from pipeline.runtimes.reference import OnnxReference
from pipeline.train.scores import score
from pipeline.train.windows import after_windows
from pipeline.validate.free_run import why_not_free


def test_a_window_never_holds_the_step_it_is_to_forecast() -> None:
    task = new_trainer(series_config("gru", **WHOLE_SEQUENCES)).task
    for batch in task.batches(0):
        assert batch.input.shape[1:] == (16, 1)
        assert batch.target.shape[1:] == (1, 1)
    text = Text("".join(map(chr, range(1000, 2000))))  # where every character tells its place
    for batch in new_trainer(text_config("gru", **WHOLE_SEQUENCES), text).task.batches(1):
        assert (batch.input[:, -1:] + 1 == batch.target).all()
        assert (batch.target < 1000 + 900).all()
    model = network(OPTIONS["final"])
    sequence = torch.sin(torch.arange(60.0))[:, None]
    with torch.no_grad():
        before = torch.cat([*after_windows(model, sequence, 16, 30)])
        sequence[40:] += 5
        after = torch.cat([*after_windows(model, sequence, 16, 30)])
        assert before.shape == (30, 1)
        torch.testing.assert_close(before[:11], after[:11], rtol=0, atol=0)  # steps 30 to 40
        assert (before[11:] != after[11:]).all()
        alone, _ = model(sequence[None, 4:20], model.zero_state(1))
        first = next(after_windows(model, sequence, 16, 20))[:1]
    torch.testing.assert_close(first[:, None], alone)


def test_the_scores_of_whole_sequences_are_those_of_a_loop_over_windows() -> None:
    config = series_config("gru", **WHOLE_SEQUENCES)
    trainer = trained(config)
    model = trainer.best_network()
    wave = np.sin(np.arange(200) / 3).astype(np.float32)[:, None]
    data = Series(wave, season=19, held_out=np.zeros((5, 1), np.float32))
    found = score(model, data, 16)
    assert isinstance(found, SeriesScores)
    assert found.free_run is not None
    start, truth = data.validation_end, data.values
    one = np.stack([call(model, truth[None, i - 16 : i])[0][0, -1] for i in range(start, 200)])
    assert found.one_step.rmse == pytest.approx(np.sqrt(((one - truth[start:]) ** 2).mean()))
    errors = []
    for origin in range(start, 200 - found.free_run_steps + 1, 10):
        read = truth[:origin]
        for _ in range(found.free_run_steps):
            read = np.concatenate([read, call(model, read[None, -16:])[0][0]])
        errors.append(read[origin:] - truth[origin : origin + found.free_run_steps])
    assert found.free_run.rmse == pytest.approx(np.sqrt(np.square(errors).mean()), rel=1e-5)


def test_the_scores_of_a_text_are_those_of_a_loop_over_windows() -> None:
    config = text_config("lstm", epochs=1, **WHOLE_SEQUENCES)
    text = Text(TEXT)
    model = trained(config, text).best_network()
    found = score(model, text, 16)
    assert isinstance(found, TextScores)
    points, first, nats = code_points(text.content), len(text.train), []
    for place in range(first, len(points)):
        logits = torch.from_numpy(call(model, points[None, place - 16 : place])[0][0, 0])
        index = text.vocabulary.find(chr(points[place])) + 1
        nats.append(-float(logits.log_softmax(0)[index]))
    assert found.loss == pytest.approx(float(np.mean(nats)), rel=1e-4)


def test_a_free_run_of_whole_sequences_slides_its_window() -> None:
    seen: list[list[float]] = []

    class Adds:
        def call(self, inputs: Mapping[str, np.ndarray], /) -> list[np.ndarray]:
            (given,) = inputs.values()
            seen.append(given[0, :, 0].tolist())
            return [given[:, -1:] + 1]

    given = np.array([[[1.0], [2.0]]], np.float32)
    made = free_run(Adds(), given, np.zeros((1, 0, 4), np.float32), 3, None)
    assert made.ravel().tolist() == [3, 4, 5]
    assert seen == [[1, 2], [2, 3], [3, 4]]
    assert "forecasts nothing" in why_not_free(network(OPTIONS["labels"]).config)
    assert not why_not_free(network(OPTIONS["final"]).config)


def test_whole_sequences_read_the_unknown_as_pytorch_does() -> None:
    model = network(OPTIONS["last"], text=True)
    runtime = OnnxReference(export(model, "m")[0])
    strange = outside(np.full((2, 9), ord("a")), "abc")
    output, state = runtime.run(strange, np.zeros((2, 0, 4), np.float32))
    np.testing.assert_allclose(output, call(model, strange)[0], rtol=1e-4, atol=1e-5)
    assert state.shape == (2, 0, 4)
