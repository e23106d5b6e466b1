"""Batches cover the training part, in the same order each time."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import (
    CONFIGS,
    WHOLE_CONFIGS,
    by_name,
    data_of,
    refused,
    series_config,
    text_config,
    trained,
)

from pipeline.config import Config
from pipeline.data import Series, Text
from pipeline.errors import MalformedError
from pipeline.train.batches import make_task


@pytest.mark.parametrize("config", [*CONFIGS, *WHOLE_CONFIGS], ids=by_name)
def test_batches_from_a_step_on_are_the_rest_of_the_epoch(config: Config) -> None:
    task = make_task(config, data_of(config))
    whole = list(task.batches(1))
    for first in (0, 1, len(whole) - 1, len(whole)):
        rest = list(task.batches(1, first))
        assert len(rest) == len(whole) - first
        for one, other in zip(rest, whole[first:], strict=True):
            assert torch.equal(one.input, other.input)
            assert torch.equal(one.target, other.target)
            assert one.fresh == other.fresh


def series_of(values: Any) -> Series:
    column = np.asarray(values, dtype=np.float32)[:, None]
    return Series(column, season=1, held_out=column)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(100, 400), window=st.integers(1, 500), batch_size=st.integers(1, 50))
def test_windows_of_a_series_stay_in_the_training_part(
    length: int, window: int, batch_size: int
) -> None:
    data = series_of(range(length))  # every value is its own time
    task = make_task(series_config(window=window, batch_size=batch_size), data)
    for epoch in range(2):
        batches = list(task.batches(epoch))
        assert len(batches) == task.steps_per_epoch
        for batch in batches:
            assert batch.fresh
            assert len(batch.input) <= batch_size
            assert torch.equal(batch.input + 1, batch.target)
            assert batch.input.min() >= 0
            assert batch.target.max() < data.train_end


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(40, 600),
    window=st.integers(1, 30),
    batch_size=st.integers(1, 50),
    epoch=st.integers(0, 100),
)
def test_windows_of_a_text_follow_each_other_through_the_training_part(
    length: int, window: int, batch_size: int, epoch: int
) -> None:
    text = Text("".join(map(chr, range(1000, 1000 + length))))  # every character is its place
    task = make_task(text_config(window=window, batch_size=batch_size), text)
    batches = list(task.batches(epoch))
    assert len(batches) == task.steps_per_epoch > 0
    assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)
    inputs = torch.cat([batch.input for batch in batches], dim=1)
    targets = torch.cat([batch.target for batch in batches], dim=1)
    assert torch.equal(inputs[:, :1] + torch.arange(inputs.size(1)), inputs)
    assert torch.equal(inputs + 1, targets)
    assert (inputs[1:, 0] > inputs[:-1, -1]).all()  # no two streams overlap
    assert len(inputs) <= batch_size
    assert targets.max() < 1000 + len(text.train)


@pytest.mark.parametrize("config", [series_config(), text_config()], ids=by_name)
def test_epoch_is_the_same_each_time_and_not_that_of_the_next(config: Config) -> None:
    task = make_task(config, data_of(config))
    epochs = [torch.cat([b.input for b in task.batches(epoch)]) for epoch in (0, 0, 1)]
    assert torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], epochs[2])


@pytest.mark.parametrize("length", [1, 2, 10, 17])
def test_text_shorter_than_a_window_is_refused(length: int) -> None:
    with refused(MalformedError, f"{length} characters", "--window"):
        make_task(text_config(window=16), Text("x" * length))


def test_shortest_text_of_one_window_can_be_trained_on() -> None:
    trainer = trained(text_config(window=17, epochs=1), Text("ab" * 10))
    assert trainer.task.steps_per_epoch == 1
