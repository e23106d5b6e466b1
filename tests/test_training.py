"""Training lowers the loss: seeds, states, clipping, rates, time budgets and penalties."""

import math
from itertools import count
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from tiny import (
    CONFIGS,
    TEXT,
    assert_same_result,
    by_name,
    new_trainer,
    refused,
    series_config,
    text_config,
    trained,
)
from torch.nn import functional

from pipeline.config import CELLS, Config
from pipeline.data import Text
from pipeline.errors import MalformedError
from pipeline.model import CodePointTable
from pipeline.train import trainer as trainer_module
from pipeline.train.batches import make_task

# --- learning


@pytest.mark.parametrize("cell", CELLS)
def test_loss_on_a_sine_falls(cell: str) -> None:
    trainer = trained(series_config(cell, hidden_size=8, epochs=30))
    losses = [entry["validation_loss"] for entry in trainer.history]
    assert losses[-1] < losses[0] / 3
    assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"] / 3


@pytest.mark.parametrize("cell", CELLS)
def test_loss_on_a_text_falls(cell: str) -> None:
    trainer = trained(text_config(cell, hidden_size=8, epochs=15, learning_rate=0.02))
    losses = [entry["validation_loss"] for entry in trainer.history]
    assert losses[0] < math.log(len(Text(TEXT).vocabulary) + 1) + 0.2
    assert losses[-1] < losses[0] - 0.5


def test_best_network_is_that_of_the_epoch_with_the_lowest_validation_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = new_trainer(series_config(epochs=4))
    losses = iter([5.0, 2.0, 4.0, 3.0])
    monkeypatch.setattr(trainer.task, "validation_loss", lambda _: next(losses))
    heads = [
        trainer.network.head.weight.detach().clone()
        for progress in trainer.run()
        if progress.validation_loss is not None
    ]
    assert (trainer.best_epoch, trainer.best_loss) == (2, 2.0)
    assert torch.equal(trainer.best_network().head.weight, heads[1])
    assert not torch.equal(heads[1], heads[3])


@pytest.mark.parametrize("config", CONFIGS, ids=by_name)
def test_same_seed_gives_the_same_bits(config: Config) -> None:
    assert_same_result(trained(config), trained(config))


def test_other_seed_gives_other_weights() -> None:
    one, other = trained(series_config(seed=0)), trained(series_config(seed=1))
    assert not torch.equal(one.best["head.weight"], other.best["head.weight"])


def test_progress_counts_every_step_and_ends_every_epoch_with_a_validation_loss() -> None:
    trainer = new_trainer(text_config(epochs=2))
    progress = list(trainer.run())
    steps = trainer.task.steps_per_epoch
    assert [p.step for p in progress if p.validation_loss is None] == list(range(1, 2 * steps + 1))
    assert {p.steps for p in progress} == {2 * steps}
    ends = [p for p in progress if p.validation_loss is not None]
    assert [(p.epoch, p.step) for p in ends] == [(1, steps), (2, 2 * steps)]
    assert [p.validation_loss for p in ends] == [e["validation_loss"] for e in trainer.history]


# --- a step


def states_seen(config: Config) -> tuple[list[torch.Tensor], list[torch.Tensor], int]:
    """The states that go into and come out of the network in training, and steps per epoch."""
    trainer = new_trainer(config)
    before: list[torch.Tensor] = []
    after: list[torch.Tensor] = []

    def record(network: Any, inputs: Any, outputs: Any) -> None:
        if network.training:
            before.append(inputs[1].detach().clone())
            after.append(outputs[1].detach().clone())

    trainer.network.register_forward_hook(record)
    for _ in trainer.run():
        pass
    return before, after, trainer.task.steps_per_epoch


@pytest.mark.parametrize("cell", CELLS)
def test_state_of_a_text_is_carried_from_window_to_window(cell: str) -> None:
    before, after, steps = states_seen(text_config(cell, epochs=2))
    assert len(before) == 2 * steps
    assert steps > 2
    for step, state in enumerate(before):
        if step % steps == 0:
            assert not state.any()
        else:
            assert torch.equal(state, after[step - 1])
            assert state.any()


def test_windows_of_a_series_start_from_zeros() -> None:
    before, _, steps = states_seen(series_config(epochs=1))
    assert len(before) == steps > 1
    assert not any(state.any() for state in before)


def gradient_norms(clip_norm: float) -> list[float]:
    trainer = new_trainer(text_config(epochs=1, clip_norm=clip_norm))
    norms: list[float] = []

    def record(*_: object) -> None:
        gradients = [p.grad for p in trainer.network.parameters() if p.grad is not None]
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))

    trainer.optimizer.register_step_pre_hook(record)
    for _ in trainer.run():
        pass
    return norms


def test_gradients_are_clipped_to_the_norm_asked_for() -> None:
    free, clipped = gradient_norms(1e6), gradient_norms(0.01)
    assert min(free) > 0.02
    assert max(clipped) <= 0.01 * 1.001
    assert len(clipped) == len(free)


def test_learning_rate_warms_up_and_ends_low() -> None:
    trainer = new_trainer(series_config(epochs=40, learning_rate=0.01))
    rates = [trainer.optimizer.param_groups[0]["lr"] for _ in trainer.run()]
    peak = rates.index(max(rates))
    assert rates[0] < 0.001
    assert 0.005 < max(rates) <= 0.01
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 0.0005


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which every look at it takes a second."""
    monkeypatch.setattr(trainer_module, "time", Mock(monotonic=Mock(side_effect=count())))


@pytest.mark.parametrize("make", [series_config, text_config])
def test_time_that_is_over_ends_the_first_epoch_which_counts(make: Any, seconds: None) -> None:
    trainer = new_trainer(make(epochs=20, minutes=3 / 60))
    progress = list(trainer.run())
    assert [p.step for p in progress] == [1, 2, 3, 3]  # three steps, and the validation
    assert trainer.task.steps_per_epoch > 3
    assert (trainer.epoch, trainer.best_epoch) == (1, 1)
    (entry,) = trainer.history
    assert entry["train_loss"] == pytest.approx(sum(p.loss for p in progress[:3]) / 3)
    with torch.no_grad():
        loss = trainer.task.validation_loss(trainer.best_network())
    assert entry["validation_loss"] == progress[-1].validation_loss == loss


def test_time_that_is_over_ends_a_later_epoch_within(seconds: None) -> None:
    trainer = new_trainer(series_config(epochs=20))
    steps = trainer.task.steps_per_epoch
    trainer = new_trainer(series_config(epochs=20, minutes=(steps + 3) / 60))
    taken = [p.step for p in trainer.run()]
    assert taken[-2:] == [steps + 2, steps + 2]  # the validation took a second too
    assert trainer.epoch == len(trainer.history) == 2


def test_time_budget_that_is_over_leaves_nothing_to_go_on_with(seconds: None) -> None:
    config = series_config(epochs=20, minutes=3 / 60)
    ended, successor = trained(config), new_trainer(config)
    successor.restore(ended.snapshot())
    assert list(successor.run()) == []
    assert_same_result(successor, ended)


def test_time_budget_shorter_than_a_step_takes_one() -> None:
    trainer = new_trainer(text_config(epochs=20, minutes=1e-9))
    assert [progress.step for progress in trainer.run()] == [1, 1]
    assert trainer.best_epoch == len(trainer.history) == 1


def test_time_budget_that_is_enough_trains_every_epoch() -> None:
    assert trained(series_config(epochs=2, minutes=10)).epoch == 2


@pytest.mark.parametrize("make", [series_config, text_config])
def test_loss_that_is_not_finite_stops_with_advice(make: Any) -> None:
    trainer = new_trainer(make(learning_rate=1e30, clip_norm=1e30))
    with refused(MalformedError, "loss became", "--learning-rate"):
        list(trainer.run())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_validation_loss_that_is_not_finite_stops_with_advice(
    monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    trainer = new_trainer(series_config())
    monkeypatch.setattr(trainer.task, "validation_loss", lambda _: value)
    with refused(MalformedError, "loss became", "--learning-rate"):
        list(trainer.run())


def test_label_smoothing_mixes_the_target_with_the_uniform_distribution() -> None:
    plain, smooth = (make_task(text_config(label_smoothing=s), Text(TEXT)) for s in (0.0, 0.25))
    batch = next(plain.batches(0))
    size = len(Text(TEXT).vocabulary) + 1
    output = torch.randn(*batch.target.shape, size, generator=torch.Generator().manual_seed(0))
    indices = CodePointTable(Text(TEXT).vocabulary)(batch.target).long()
    log_p = functional.log_softmax(output, dim=-1)
    hard = -log_p.gather(-1, indices[..., None]).mean()
    torch.testing.assert_close(plain.loss(output, batch.target), hard)
    torch.testing.assert_close(
        smooth.loss(output, batch.target), 0.75 * hard + 0.25 * -log_p.mean()
    )


def test_label_smoothing_leaves_the_validation_loss_in_plain_nats() -> None:
    plain, smooth = (make_task(text_config(label_smoothing=s), Text(TEXT)) for s in (0.0, 0.25))
    network = plain.network().eval()
    with torch.no_grad():
        assert plain.validation_loss(network) == smooth.validation_loss(network)


@pytest.mark.parametrize("make", [series_config, text_config])
def test_state_penalty_adds_the_mean_square_of_the_state(make: Any) -> None:
    plain, penalised = (new_trainer(make("lstm", state_penalty=p)) for p in (0.0, 0.5))
    batch = next(plain.task.batches(0))
    with torch.no_grad():
        _, state = plain.network(batch.input, plain.network.zero_state(len(batch.input)))
    expected = next(plain.run()).loss + 0.5 * float(state.square().mean())
    assert next(penalised.run()).loss == pytest.approx(expected, rel=1e-6)
