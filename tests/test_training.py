import math
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from command_line import Here
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CONFIGS, TEXT, data_of, new_trainer, refused, series_config, text_config, trained
from torch.nn import functional

from pipeline.checkpoint import TRAINING_FILE, load_snapshot, read_checkpoint, save_snapshot
from pipeline.cli import train_one
from pipeline.cli.interrupt import deferred_interrupt
from pipeline.config import CELLS, Config
from pipeline.data import Series, Text
from pipeline.errors import MalformedError, UnavailableError
from pipeline.model import CodePointTable
from pipeline.report.progress import TrainingBar
from pipeline.threads import weights_of
from pipeline.train import loop, speed
from pipeline.train.batches import make_task
from pipeline.train.speed import choose_device, on_threads, refusals
from pipeline.train.trainer import Trainer

DEEP = {"num_layers": 2, "dropout": 0.3, "epochs": 3}
DEEP_CONFIGS = [series_config("lstm", **DEEP), text_config("gru", **DEEP)]


def by_name(config: Config) -> str:
    return config.name


def assert_same_result(one: Trainer, other: Trainer) -> None:
    """Weights, the best weights and the history are the same to the last bit."""
    for a, b in ((one.network.state_dict(), other.network.state_dict()), (one.best, other.best)):
        assert a.keys() == b.keys()
        assert [key for key in a if not torch.equal(a[key], b[key])] == []
    assert one.history == other.history
    assert (one.best_epoch, one.best_loss) == (other.best_epoch, other.best_loss)


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


def bfloat16_runs(config: Config) -> bool:
    """Whether PyTorch itself has an LSTM in bfloat16 on this processor, forward and backward."""
    layer = torch.nn.LSTM(config.model.embedding_size, config.model.hidden_size, batch_first=True)
    input = torch.zeros(config.training.batch_size, config.training.window, layer.input_size)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            output, _ = layer(input)
        output.float().sum().backward()
    except RuntimeError:
        return False
    return True


def test_bfloat16_trains_and_keeps_weights_in_float32_or_says_that_it_cannot() -> None:
    config = text_config("lstm", precision="bfloat16")
    trainer = new_trainer(config)
    if not bfloat16_runs(config):
        with refused(UnavailableError, "bfloat16", "--precision float32"):
            next(trainer.run())
        return
    for _ in trainer.run():
        pass
    assert trainer.precision == "bfloat16"
    assert trainer.history[-1]["validation_loss"] < trainer.history[0]["validation_loss"]
    assert {tensor.dtype for tensor in trainer.best.values()} == {torch.float32}


def test_precision_is_chosen_by_measuring_a_text_and_is_float32_for_a_series() -> None:
    text, series = trained(text_config(precision="auto")), trained(series_config())
    assert text.precision in ("float32", "bfloat16")
    assert series.precision == "float32"


def test_choosing_a_precision_changes_nothing_else() -> None:
    chosen = trained(text_config("gru", precision="auto", num_layers=2, dropout=0.3))
    assert chosen.precision is not None
    given = text_config("gru", precision=chosen.precision, num_layers=2, dropout=0.3)
    assert_same_result(chosen, trained(given))


# --- what it runs on


def without_bfloat16(monkeypatch: pytest.MonkeyPatch, in_training: bool, loss: float = 0) -> None:
    """A processor on which bfloat16 fails in a step or in what follows it, or gives ``loss``."""
    real = speed.train_step

    def train_step(network: Any, optimizer: Any, *given: Any) -> Any:
        result = real(network, optimizer, *given)
        if "bfloat16" not in given:
            return result
        if loss:
            return loss, result[1]
        refuse = Mock(side_effect=RuntimeError("could not create a primitive descriptor"))
        if in_training:
            refuse()
        network.forward = refuse
        return result

    monkeypatch.setattr(speed, "train_step", train_step)
    # So slow is float32 that whatever runs at all is preferred.
    monkeypatch.setattr(speed, "_MORE_PRECISE", 1e-9)


@pytest.mark.parametrize("in_training", [True, False], ids=["in a step", "in the evaluation"])
def test_precision_that_fails_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch, in_training: bool
) -> None:
    without_bfloat16(monkeypatch, in_training)
    trainer = trained(text_config("lstm", precision="auto"))
    assert (trainer.precision, trainer.threads) == ("float32", 1)
    assert len(trainer.history) == 3


def test_precision_that_runs_is_chosen_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_MORE_PRECISE", 1e-9)
    trainer = new_trainer(text_config("gru", precision="auto"))
    next(trainer.run())
    assert trainer.precision == "bfloat16"


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_precision_that_gives_no_number_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    without_bfloat16(monkeypatch, in_training=True, loss=loss)
    trainer = new_trainer(text_config("lstm", precision="auto"))
    next(trainer.run())
    assert trainer.precision == "float32"


@pytest.mark.parametrize("in_training", [True, False], ids=["in a step", "in the evaluation"])
def test_precision_that_was_asked_for_and_fails_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, in_training: bool
) -> None:
    without_bfloat16(monkeypatch, in_training)
    trainer = new_trainer(text_config("lstm", precision="bfloat16"))
    with refused(UnavailableError, "bfloat16", "primitive", "--precision float32"):
        next(trainer.run())


def test_training_begun_in_bfloat16_is_not_gone_on_with_where_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = new_trainer(text_config("gru", precision="auto"))
    next(begun.run())
    successor = new_trainer(text_config("gru", precision="auto"))
    successor.restore(replace(begun.snapshot(), precision="bfloat16"))
    without_bfloat16(monkeypatch, in_training=True)
    with refused(UnavailableError, "bfloat16", "--precision float32"):
        next(successor.run())


def test_small_networks_train_on_one_thread_whatever_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speed, "_seconds", lambda *_: pytest.fail("measured"))
    with on_threads(2):
        for config in (series_config("lstm"), text_config("lstm")):
            trainer = new_trainer(config)
            next(trainer.run())
            assert (trainer.precision, trainer.threads) == ("float32", 1)


@pytest.mark.parametrize(("gain", "threads"), [(0.2, 1), (1.4, 1), (2.0, 2)])
def test_large_networks_train_on_many_threads_where_those_are_far_faster(
    monkeypatch: pytest.MonkeyPatch, gain: float, threads: int
) -> None:
    def seconds(*_: object) -> float:
        return 1.0 if torch.get_num_threads() == 1 else 1.0 / gain

    monkeypatch.setattr(speed, "threads_of", lambda weights: 8)
    monkeypatch.setattr(speed, "_seconds", seconds)
    with on_threads(2):
        trainer = new_trainer(text_config())
        next(trainer.run())
        assert trainer.threads == threads


def test_threads_that_were_asked_for_are_used_while_it_trains() -> None:
    trainer, before = new_trainer(text_config(threads=2, epochs=1)), torch.get_num_threads()
    assert {torch.get_num_threads() for _ in trainer.run()} == {trainer.threads} == {2}
    assert torch.get_num_threads() == before


def test_what_pytorch_cannot_do_here_is_one_line() -> None:
    with refused(UnavailableError, "no memory", "--batch-size"), refusals():
        raise RuntimeError("no memory\nat all")


# --- interrupted and taken up again


WHOLE = {"bidirectional": True, "readout": "final", "batch_size": 16, "epochs": 2}
WHOLE_CONFIGS = [series_config("gru", **WHOLE | {"batch_size": 4}), text_config("gru", **WHOLE)]


def gone_on(config: Config, folder: Path) -> Trainer:
    """A trainer that ended what is saved in ``folder``."""
    trainer = new_trainer(config)
    snapshot = load_snapshot(folder, config, data_of(config).digest, weights_of(trainer.network))
    assert snapshot is not None
    trainer.restore(snapshot)
    for _ in trainer.run():
        pass
    return trainer


@pytest.mark.parametrize("config", [*DEEP_CONFIGS, *WHOLE_CONFIGS], ids=by_name)
def test_interrupted_anywhere_it_ends_with_the_same_bits(config: Config, tmp_path: Path) -> None:
    trainer = new_trainer(config)
    steps = trainer.task.steps_per_epoch
    assert steps > 2
    stops = {1, steps - 1, steps, steps + 1, 2 * steps}
    standing = set()
    for progress in trainer.run():
        if progress.step in stops:
            folder = tmp_path / f"{progress.step}-{progress.validation_loss}"
            save_snapshot(folder, trainer.snapshot(), config, data_of(config).digest)
            standing.add((trainer.epoch, trainer.step))
    assert {(0, 1), (0, steps), (1, 0), (1, 1), (2, 0)} <= standing
    for folder in tmp_path.iterdir():
        assert_same_result(gone_on(config, folder), trainer)


@pytest.mark.parametrize("config", DEEP_CONFIGS, ids=by_name)
def test_interrupted_after_every_few_steps_it_ends_with_the_same_bits(
    config: Config, tmp_path: Path
) -> None:
    data = data_of(config)
    trainer, ended, rounds = new_trainer(config), False, 0
    while not ended:
        ended, rounds = True, rounds + 1
        for _ in islice(trainer.run(), 3):
            ended = False
        save_snapshot(tmp_path, trainer.snapshot(), config, data.digest)
        successor = new_trainer(config)
        snapshot = load_snapshot(tmp_path, config, data.digest, weights_of(successor.network))
        assert snapshot is not None
        successor.restore(snapshot)
        trainer = successor
    assert rounds > config.training.epochs
    assert_same_result(trainer, trained(config))


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
    monkeypatch.setattr(loop, "time", Mock(monotonic=Mock(side_effect=count())))


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


# --- batches


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


# --- devices


def test_device_that_is_there_is_chosen() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["abacus", "", "cpu:x", "cuda:999"])
def test_device_that_is_not_there_is_unavailable(name: str) -> None:
    with refused(UnavailableError, f"'{name}'", "--device cpu"):
        choose_device(name)


def test_cuda_is_given_where_it_is_and_unavailable_where_it_is_not() -> None:
    if torch.cuda.is_available():
        assert choose_device("cuda").type == "cuda"
    else:
        with refused(UnavailableError, "'cuda'", "--device cpu"):
            choose_device("cuda")


# --- from the command line


SMALL = (
    *("train", "char-lstm", "--hidden-size", "4"),
    *("--epochs", "2", "--batch-size", "4", "--window", "16"),
)


def digest_of_weights(folder: Path) -> str:
    return read_checkpoint(folder / "checkpoints" / "char-lstm").weights.sha256


@pytest.fixture
def whole(pipeline: Here, tmp_path: Path, text_file: Path) -> tuple[tuple[str, ...], str]:
    """A command of ``train``, and the digest of the weights that it gives without a stop."""
    command = (*SMALL, "--precision", "float32", "--text", str(text_file))
    assert pipeline(*command).code == 0
    digest = digest_of_weights(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    return command, digest


def on_step(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], object]) -> None:
    """Let ``action`` happen where the bar shows step ``number``, and the first time only."""
    real = TrainingBar.show
    shown: list[int] = []

    def show(bar: TrainingBar, progress: loop.Progress) -> None:
        real(bar, progress)
        shown.append(progress.step)
        if shown == list(range(1, number + 1)):
            action()

    monkeypatch.setattr(TrainingBar, "show", show)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own Ctrl-C, which a suite in the background may have been told to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_saves_the_step_and_resume_ends_with_the_same_weights(
    pipeline: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Any, ctrl_c: None
) -> None:
    command, digest = whole
    on_step(monkeypatch, 3, lambda: signal.raise_signal(signal.SIGINT))
    result = pipeline(*command)
    assert result.code == 130
    result.one_line_error("interrupted", "--resume")
    assert (tmp_path / "checkpoints" / "char-lstm" / TRAINING_FILE).exists()
    assert "char-lstm: resuming after epoch 0, step 3" in pipeline(*command, "--resume").err
    assert digest_of_weights(tmp_path) == digest
    assert not (tmp_path / "checkpoints" / "char-lstm" / TRAINING_FILE).exists()


def test_killed_within_the_first_epoch_it_goes_on_from_the_last_snapshot(
    pipeline: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Any
) -> None:
    command, digest = whole
    monkeypatch.setattr(train_one, "_EVERY", 0)  # each step is later than that
    on_step(monkeypatch, 3, Mock(side_effect=KeyboardInterrupt))
    assert pipeline(*command).code == 130
    assert "char-lstm: resuming after epoch 0, step 2" in pipeline(*command, "--resume").err
    assert digest_of_weights(tmp_path) == digest


def test_second_ctrl_c_interrupts_at_once(ctrl_c: None) -> None:
    with deferred_interrupt() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_ctrl_c_that_is_no_interrupt_stays_as_it_is(handler: Any) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        with deferred_interrupt() as interrupted:
            assert signal.getsignal(signal.SIGINT) is handler
            assert not interrupted()
    finally:
        signal.signal(signal.SIGINT, before)


def test_bfloat16_that_cannot_be_leaves_the_old_checkpoint(
    pipeline: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_file: Path
) -> None:
    command = (*SMALL, "--text", str(text_file))
    assert pipeline(*command).code == 0
    digest = digest_of_weights(tmp_path)
    without_bfloat16(monkeypatch, in_training=True)
    result = pipeline(*command, "--precision", "bfloat16")
    assert result.code == 7
    result.one_line_error("bfloat16", "--precision float32")
    assert digest_of_weights(tmp_path) == digest
