"""A network in fixed point: 8-bit weights, multipliers, and the step that the C computes.

This is the oracle: :meth:`IntegerNetwork.run` gives the integers of the generated C, every bit. All
that is not an integer is decided here, once, and so is what is refused.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.cells import ENTRIES
from pipeline.cells.entry import Entry
from pipeline.cells.fixed_point import (
    OUTPUT_BITS,
    PART_BITS,
    STATE_BITS,
    FixedPoint,
    Integers,
)
from pipeline.config import SeriesModel, TextModel
from pipeline.contract.records import Scaler
from pipeline.errors import UsageError

_MULTIPLIER_BITS = 30  # of the largest multiplier
_LARGEST = 2**30  # of a product, so that sums of two fit into 32 bits
_INPUT_MOST = 2**15 - 1


@dataclass(frozen=True)
class SmallMatrix:
    """8-bit weights ``[rows, columns]``, and the float32 scale of each row."""

    weights: NDArray[np.int8]
    scales: NDArray[np.float32]

    @property
    def columns(self) -> int:
        """The length of a row."""
        return self.weights.shape[1]


@dataclass(frozen=True)
class Product:
    """bias + W·x: the integer sum of each row times its multiplier, divided by 2^shift, rounded."""

    weights: NDArray[np.int8]
    multipliers: Integers
    bias: Integers
    shift: int

    def of(self, x: Integers) -> Integers:
        """x ``[batch, columns]`` to ``[batch, rows]`` in units of 1 / 2^16."""
        sums = x @ self.weights.T.astype(np.int64)
        return self.bias + FixedPoint.rounded(sums * self.multipliers, self.shift)


def product(matrix: SmallMatrix, bias: NDArray[np.float32], input_bits: int, where: str) -> Product:
    """The product of ``matrix`` and an x in units of 1 / 2^input_bits, called ``where`` in errors.

    Raises:
        UsageError: a sum of it would not fit into 32 bits.
    """
    magnitudes = abs(matrix.weights.astype(np.int64)).sum(axis=1)
    if (magnitudes << PART_BITS).max(initial=0) >= 2**31:
        raise UsageError(
            f"{where} has {matrix.columns} columns, whose 8-bit weights times 16 bits do not fit "
            "into sums of 32 bits; embed the model for the target c"
        )
    factors = matrix.scales.astype(np.float64) * 2.0 ** (OUTPUT_BITS - input_bits)
    largest = float(factors.max(initial=0.0))
    shift = _MULTIPLIER_BITS - (math.frexp(largest)[1] if largest else 0)
    biases = np.rint(bias.astype(np.float64) * 2**OUTPUT_BITS)
    reach = magnitudes * factors * 2**PART_BITS + abs(biases)
    if not 1 <= shift <= 60 or not reach.max(initial=0) < _LARGEST:
        raise UsageError(
            f"{where} has weights of a size that fixed point cannot hold; embed the model for the "
            "target c"
        )
    multipliers = np.rint(factors * 2.0**shift).astype(np.int64)
    return Product(matrix.weights, multipliers, biases.astype(np.int64), shift)


@dataclass(frozen=True)
class IntegerLayer:
    """What x and h give the gates of one layer, the gates in the order of C."""

    input: Product
    hidden: Product


class IntegerNetwork:
    """A network of the target: all its integers, and its step.

    ``matrices`` have the names of the network's weights, ``biases`` too. ``largest_input`` is the
    largest distance from the mean, in deviations, that an input of a series shall hold.

    Raises:
        UsageError: the network is of a kind that fixed point does not hold; says which and why.
    """

    def __init__(
        self,
        name: str,
        config: SeriesModel | TextModel,
        matrices: Mapping[str, SmallMatrix],
        biases: Mapping[str, NDArray[np.float32]],
        scaler: Scaler | None,
        vocabulary: str | None,
        largest_input: float,
    ) -> None:
        _refuse(name, config)
        self.config, self.scaler, self.vocabulary = config, scaler, vocabulary
        self.entry: Entry = ENTRIES[config.cell]
        self.fixed = FixedPoint()
        self.input_bits, self.embedding = 14 - math.ceil(math.log2(largest_input)), None
        if isinstance(config, TextModel):
            table = matrices["encoder.1.weight"]
            exact = table.weights * table.scales[:, None].astype(np.float64)
            self.input_bits = 14 - math.ceil(math.log2(abs(exact).max(initial=2.0**-14)))
            self.embedding = np.rint(exact * 2.0**self.input_bits).astype(np.int64)
        self.layers = [
            self._layer(layer, matrices, biases, name) for layer in range(config.num_layers)
        ]
        head = matrices["head.weight"], biases["head.bias"]
        self.head = product(*head, PART_BITS, f"the head of {name}")

    def _layer(
        self,
        layer: int,
        matrices: Mapping[str, SmallMatrix],
        biases: Mapping[str, NDArray[np.float32]],
        name: str,
    ) -> IntegerLayer:
        gates = len(self.entry.gates)
        order = [self.entry.gates.index(gate) for gate in self.entry.c_gates]

        def by_gate(rows: NDArray[np.generic]) -> NDArray[np.generic]:
            parts = np.split(rows, gates)
            return np.concatenate([parts[place] for place in order])

        def side(kind: str, bits: int) -> Product:
            matrix = matrices[f"recurrent.layers.weight_{kind}_l{layer}"]
            zeros = np.zeros(len(matrix.scales), np.float32)
            bias = biases.get(f"recurrent.layers.bias_{kind}_l{layer}", zeros)
            ordered = SmallMatrix(by_gate(matrix.weights), by_gate(matrix.scales))  # type: ignore[arg-type]
            return product(ordered, by_gate(bias), bits, f"layer {layer} of {name}")  # type: ignore[arg-type]

        return IntegerLayer(side("ih", PART_BITS if layer else self.input_bits), side("hh", PART_BITS))

    def zero_state(self, batch: int) -> Integers:
        """The state that starts ``batch`` streams, ``[batch, S, hidden]`` in units of 1 / 2^22."""
        rows = len(self.entry.parts) * self.config.num_layers
        return np.zeros((batch, rows, self.config.hidden_size), np.int64)

    def run(self, x: Integers, state: Integers) -> tuple[Integers, Integers]:
        """Inputs ``[batch, time, features]``, or code points ``[batch, time]``, one after another.

        Returns the outputs ``[batch, time, outputs]`` in units of 1 / 2^16, and the next state.
        """
        outputs = []
        for step in range(x.shape[1]):
            state = self._step(self._entered(x[:, step]), state)
            outputs.append(self.output(state))
        return np.stack(outputs, axis=1), state

    def output(self, state: Integers) -> Integers:
        """The output ``[batch, outputs]`` that a state gives."""
        return self.head.of(self.fixed.narrow(state[:, self.config.num_layers - 1]))

    def fixed_inputs(self, values: NDArray[np.float32]) -> Integers:
        """Numbers ``[…, features]`` in raw units as inputs; the same arithmetic as in C."""
        assert self.scaler is not None
        distance = (values - np.float32(self.scaler.input_mean)) * self.input_scale
        whole = np.trunc(distance + np.copysign(np.float32(0.5), distance))
        return whole.clip(-_INPUT_MOST, _INPUT_MOST).astype(np.int64)

    @property
    def input_scale(self) -> NDArray[np.float32]:
        """What a distance from the mean is multiplied by to be an input."""
        assert self.scaler is not None
        return np.float32(2.0**self.input_bits / np.float64(self.scaler.input_std))

    @property
    def output_scale(self) -> NDArray[np.float32]:
        """What an output of a series is multiplied by to be a distance from the mean."""
        assert self.scaler is not None
        return np.float32(np.float64(self.scaler.output_std) / 2**OUTPUT_BITS)

    def numbers(self, outputs: Integers) -> NDArray[np.float32]:
        """Outputs as logits, or in raw units."""
        if self.scaler is None:
            return outputs.astype(np.float32) / np.float32(2**OUTPUT_BITS)
        mean = np.float32(self.scaler.output_mean)
        found: NDArray[np.float32] = outputs.astype(np.float32) * self.output_scale + mean
        return found

    @staticmethod
    def state_numbers(state: Integers) -> NDArray[np.float64]:
        """A state as numbers of the float network."""
        return state / 2**STATE_BITS

    def _entered(self, x: Integers) -> Integers:
        if self.embedding is None:
            return x
        assert self.vocabulary is not None
        places = {ord(character): k for k, character in enumerate(self.vocabulary, 1)}
        return self.embedding[[places.get(int(point), 0) for point in x]]

    def _step(self, x: Integers, state: Integers) -> Integers:
        layers = self.config.num_layers
        rows: list[Sequence[Integers]] = []
        for number, layer in enumerate(self.layers):
            before = [state[:, part * layers + number] for part in range(len(self.entry.parts))]
            of_h = layer.hidden.of(self.fixed.narrow(before[0]))
            rows.append(self.entry.integer_step(layer.input.of(x), of_h, before, self.fixed))
            x = self.fixed.narrow(rows[-1][0])
        return np.stack([row for part in zip(*rows, strict=True) for row in part], axis=1)


def _refuse(name: str, config: SeriesModel | TextModel) -> None:
    reason = ""
    if config.bidirectional:
        reason = "reads whole sequences in both directions and has no state to step with"
    elif config.nonlinearity != "tanh":
        reason = f"has the function {config.nonlinearity}, whose h no fixed point bounds"
    elif config.proj_size:
        reason = "has projections, which are not in fixed point"
    if reason:
        raise UsageError(f"{name} {reason}; embed it for another target")
