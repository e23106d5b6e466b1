"""The scores of a variant on its task, beside those of the float32 model.

A series is scored by its errors one step ahead and in free runs, a text by its bits per character,
each on the second half of the held-out data; the first half is left to whoever calibrates. Any
other model is scored by its distance from the float32 model on inputs that its contract draws. All
are also followed along one stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from pipeline.contract.held_out import code_points
from pipeline.contract.law import Array
from pipeline.contract.samples import cut_sequences
from pipeline.contract.tensors import Contract, Tensors
from pipeline.verify import Model, Reference, chained

STREAM = 10_000  # steps of the one long stream
CALLS = 1000  # of a model without a time axis
_PIECE = 500  # steps of it in one call
_FREE_RUN = 100  # steps that a forecast goes on without seeing the truth
_BETWEEN = 10  # steps between the origins of two free runs
_LEAST = 4 * _FREE_RUN  # steps of held-out data that make a score
_SIZES = ((3, 50), (1, 333))  # batch and steps of the inputs that a distance is taken on
_ROWS, _STEPS = 8, 100  # of inputs that are drawn to calibrate on
_STARTS = (7_000_003, 7_000_103)  # where these are drawn, far from all others

_ALONG = "distance at the end of"

Scores = dict[str, float]
"""Numbers by name; the less, the better."""


@dataclass(frozen=True)
class Scored:
    """What scores are taken on: the reference of the float32 model, and its task.

    ``data`` are the held-out data of the task, ``[time]`` or ``[time, features]``; None where there
    is no task, or too few of them. ``vocabulary`` is that of a text.
    """

    reference: Reference
    task: Literal["series", "text"] | None = None
    data: Array | None = None
    vocabulary: str | None = None
    is_calibration: bool = False

    @property
    def for_calibration(self) -> "Scored":
        """The same on the first half of the data alone, and without the long stream.

        A text then has its distance from the float32 model, which differs less by chance.
        """
        data = None if self.data is None else self.data[: len(self.data) // 2]
        return replace(self, data=data, is_calibration=True)

    def calls(self) -> list[Tensors]:
        """All inputs of calls to calibrate on, states too: of the data, or else as they are drawn.

        Of held-out data it is the first half.
        """
        reference, contract = self.reference, self.reference.contract
        if self.data is None:
            cuts = [_STEPS] if contract.time else [1] * _STEPS
            chains = [reference.pieces(_ROWS, cuts, start) for start in _STARTS]
        else:
            half = self.data[: len(self.data) // 2]
            [name] = _data(contract)[0]
            rows, steps = (1, len(half)) if contract.states else (_ROWS, _STEPS)
            chains = [[{name: cut_sequences(half, rows, steps)}]]
        calls = []
        for pieces in chains:
            state = reference.initial(reference.batch_of(pieces[0]))
            results = chained(reference.model, contract, pieces, state)
            for piece, result in zip(pieces, results, strict=True):
                calls.append({**piece, **state})
                state = {before: result[after] for before, after in contract.states}
        return calls

    def of(self, model: Model) -> Scores:
        """The scores of ``model``, which has the contract of the reference."""
        reference, found = self.reference, Scores()
        contract = reference.contract
        if self.data is not None and len(self.data) >= _LEAST and contract.states:
            if self.vocabulary is not None and self.is_calibration:  # bits would tell by chance
                [name] = _data(contract)[0]
                found["distance"] = self._distance(model, [{name: self.data[None]}])
            elif self.vocabulary is not None:
                found["bits per character"] = self._bits(model, self.data)
            elif self.task == "series":
                found |= self._errors(model, self.data)
        if not found:
            elsewhere = _STARTS[0] if self.is_calibration else reference.elsewhere
            found["distance"] = max(
                self._distance(model, reference.pieces(batch, [steps], elsewhere))
                for batch, steps in _SIZES
            )
        if contract.states and not self.is_calibration:
            cuts = [_PIECE] * (STREAM // _PIECE) if contract.time else [1] * CALLS
            found[f"{_ALONG} {sum(cuts):,} steps"] = self._distance(
                model, reference.pieces(1, cuts), last=0.1
            )
        return found

    def _bits(self, model: Model, points: Array) -> float:
        half = len(points) // 2
        logits = self._outputs(model, points[:-1]).astype(np.float64)[half:]
        known = {int(point): k for k, point in enumerate(code_points(self.vocabulary or ""), 1)}
        targets = np.array([known.get(int(point), 0) for point in points[half + 1 :]])
        most = logits.max(axis=1, keepdims=True)
        nats = np.log(np.exp(logits - most).sum(axis=1)) + most[:, 0]
        nats -= np.take_along_axis(logits, targets[:, None], 1)[:, 0]
        return float(nats.mean() / np.log(2))

    def _errors(self, model: Model, values: Array) -> Scores:
        half, features = len(values) // 2, values.shape[1]
        output = self._outputs(model, values[:-1])
        targets = output.shape[1]
        off = output[half:].astype(np.float64) - values[half + 1 :, :targets]
        found = {"RMSE, one step": float(np.sqrt((off**2).mean()))}
        if targets == features:
            origins = range(half, len(values) - _FREE_RUN + 1, _BETWEEN)
            run = self._free_run(model, values, list(origins))
            truth = np.stack([values[at : at + _FREE_RUN] for at in origins])
            off = run.astype(np.float64) - truth
            found[f"RMSE, {_FREE_RUN} steps free"] = float(np.sqrt((off**2).mean()))
        return found

    def _free_run(self, model: Model, values: Array, origins: list[int]) -> Array:
        """Forecasts from every origin, each fed back as the next input."""
        contract = self.reference.contract
        [data], [output] = _data(contract)
        ends = [0, *origins]
        pieces = [{data: values[None, a:b]} for a, b in pairwise(ends)]
        read = chained(model, contract, pieces, self.reference.initial(1))
        state: Tensors = {
            before: np.concatenate([call[after] for call in read])
            for before, after in contract.states
        }
        made = [np.concatenate([call[output][:, -1:] for call in read])]
        for _ in range(_FREE_RUN - 1):
            [call] = chained(model, contract, [{data: made[-1]}], state)
            state = {before: call[after] for before, after in contract.states}
            made.append(call[output])
        return np.concatenate(made, axis=1)

    def _outputs(self, model: Model, sequence: Array) -> Array:
        """What a task's ``model`` gives for every step of one ``sequence``."""
        contract = self.reference.contract
        [data], [output] = _data(contract)
        [call] = chained(model, contract, [{data: sequence[None]}], self.reference.initial(1))
        result: Array = call[output][0]
        return result

    def _distance(self, model: Model, pieces: Sequence[Tensors], last: float = 1.0) -> float:
        """How far ``model`` is from the float32 model over chained calls, in the ``last`` of them.

        It is the root of the mean square of the differences, as a share of the deviation of what
        the float32 model gives; of several outputs, the largest.
        """
        reference, contract = self.reference, self.reference.contract
        start = reference.initial(reference.batch_of(pieces[0]))
        first = int(len(pieces) * (1 - last))
        found, exact = (
            chained(one, contract, pieces, start)[first:] for one in (model, reference.model)
        )
        shares = []
        for name in _data(contract)[1]:
            y, truth = (
                np.concatenate([call[name].ravel().astype(np.float64) for call in calls])
                for calls in (found, exact)
            )
            off = float(np.sqrt(((y - truth) ** 2).mean()))
            shares.append(off / (float(truth.std()) or 1.0))
        return max(shares)


def losses(scores: Scores, float32: Scores) -> Scores:
    """How much worse ``scores`` are: the share by which an error grew, or a distance itself."""
    return {
        name: value / float32[name] - 1 if float32[name] else value
        for name, value in scores.items()
    }


def distance(scores: Scores, float32: Scores) -> float:
    """The largest of :func:`losses`, where one that is negative counts like one that is not."""
    return max(map(abs, losses(scores, float32).values()))


def loss(scores: Scores, float32: Scores) -> float:
    """The loss that counts, as :func:`counted_loss` says."""
    return counted_loss(losses(scores, float32))


def counted_loss(found: Scores) -> float:
    """The largest of :func:`losses` but for that along the stream."""
    return max(value for name, value in found.items() if not name.startswith(_ALONG))


def _data(contract: Contract) -> tuple[list[str], list[str]]:
    """The names of the inputs and of the outputs that are no states."""
    carried = {before for before, _ in contract.states}
    return (
        [spec.name for spec in contract.inputs if spec.name not in carried],
        [spec.name for spec in contract.outputs if spec.name not in contract.next_states],
    )
