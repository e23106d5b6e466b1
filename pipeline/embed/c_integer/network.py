"""A network in fixed point: 8-bit weights, multipliers, and the step that the C computes.

All that is not an integer is decided here, once, and so is what is refused. :meth:`.run` is the
oracle: it gives the integers of the generated C, every bit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.cells import ENTRIES
from pipeline.cells.fixed_point import OUTPUT_BITS, PART_BITS, FixedPoint, Integers
from pipeline.contract.network import StoredNetwork
from pipeline.errors import UsageError

Floats = NDArray[np.float32]

_MULTIPLIER_BITS = 30  # of the largest multiplier
_MOST = 127  # of a weight
_FINER = 254  # the second of two rows is in units so much smaller
_LARGEST = 2**30  # of a product, so that the sum of two fits into 32 bits
_ELSEWHERE = "embed the model for the target c"
_PARTS = ("weight", "bias")
_FIXED = FixedPoint()


@dataclass(frozen=True)
class Product:
    """bias + W·x: the sum of each row times its multiplier, divided by 2^shift and rounded.

    Where it is ``double``, each row is the sum of two: behind all the first ones are the second.
    """

    weights: NDArray[np.int8]
    multipliers: Integers
    bias: Integers
    shift: int
    double: bool = False

    @property
    def size(self) -> int:
        """The number of results."""
        return len(self.weights) // (2 if self.double else 1)

    @classmethod
    def of_floats(cls, matrix: Floats, bias: Floats, input_bits: int, where: str) -> "Product":
        """The product of a matrix of floats, each row the sum of two rows of 8 bits.

        The second has what the first leaves, so that a weight is off by 1.6e-5 of the largest of
        its row at most. Raises as :meth:`of_rows`.
        """
        scales = abs(matrix).max(axis=1).astype(np.float64) / _MOST
        scales[scales == 0] = 1.0
        first = np.rint(matrix / scales[:, None])
        second = np.rint((matrix / scales[:, None] - first) * _FINER)
        weights = np.concatenate([first, second]).astype(np.int8)
        both = np.concatenate([scales, scales / _FINER])
        biases = np.concatenate([bias, np.zeros_like(bias)])
        return replace(cls.of_rows(weights, both, biases, input_bits, where), double=True)

    @classmethod
    def of_rows(
        cls,
        weights: NDArray[np.int8],
        scales: NDArray[np.floating[Any]],
        bias: Floats,
        input_bits: int,
        where: str,
    ) -> "Product":
        """The product with an x in units of 1 / 2^input_bits; ``where`` is its name in errors.

        Each row of ``weights`` is in units of its scale.

        Raises:
            UsageError: a number of it would not fit into the bits that it has.
        """
        sizes = abs(weights.astype(np.int64)).sum(axis=1)
        if int(sizes.max(initial=0)) << PART_BITS >= 2**31:
            raise UsageError(
                f"{where} has rows of {weights.shape[1]} weights, whose products with 16 "
                f"bits do not fit into sums of 32 bits; {_ELSEWHERE}"
            )
        factors = scales.astype(np.float64) * 2.0 ** (OUTPUT_BITS - input_bits)
        largest = float(factors.max(initial=0.0))
        shift = _MULTIPLIER_BITS - (math.frexp(largest)[1] if largest else 0)
        biases = np.rint(bias.astype(np.float64) * 2**OUTPUT_BITS)
        reached = sizes * factors * 2**PART_BITS + abs(biases)
        if not 1 <= shift <= 60 or not reached.max(initial=0) < _LARGEST:
            raise UsageError(f"{where} has weights too large for fixed point; {_ELSEWHERE}")
        multipliers = np.rint(factors * 2.0**shift).astype(np.int64)
        return cls(weights, multipliers, biases.astype(np.int64), shift)

    def of(self, x: Integers) -> Integers:
        """x ``[batch, columns]`` to ``[batch, rows]`` in units of 1 / 2^16."""
        # float64 has every sum of 32 bits exactly, and is much faster.
        sums = (x.astype(np.float64) @ self.weights.T.astype(np.float64)).astype(np.int64)
        found = self.bias + _FIXED.rounded(sums * self.multipliers, self.shift)
        return found[:, : self.size] + found[:, self.size :] if self.double else found


class IntegerLayer(NamedTuple):
    """What x and h give the gates of one layer, the gates in the order of C."""

    input: Product
    hidden: Product


class IntegerNetwork:
    """All integers of the network called ``name``, and its step.

    ``farthest`` is how far from the mean the numbers of a series lie that an input shall hold, in
    deviations; more than that becomes the largest there is.

    Raises:
        UsageError: the network is of a kind that fixed point does not hold; says which and why.
    """

    def __init__(self, name: str, network: StoredNetwork, farthest: float = 1.0) -> None:
        _refuse(name, network)
        self.name, self.config, self.scaler = name, network.config, network.scaler
        self.vocabulary, self.entry = network.vocabulary, ENTRIES[network.config.cell]
        self.places = {ord(character): k for k, character in enumerate(self.vocabulary or "", 1)}
        self.embedding: Integers | None = None
        if self.vocabulary is not None:
            table = network.weights["encoder.1.weight"].astype(np.float64)
            farthest = abs(table).max(initial=0.0)
            self.embedding = np.rint(table * 2.0 ** _bits_below(farthest)).astype(np.int64)
        self.input_bits = _bits_below(farthest)
        self.layers = [self._layer(network, layer) for layer in range(self.config.num_layers)]
        rows = np.arange(len(network.weights["head.bias"]))
        self.head = self._product(network, "head.weight", "head.bias", rows, PART_BITS)

    def _layer(self, network: StoredNetwork, layer: int) -> IntegerLayer:
        gates, hidden = self.entry.gates, self.config.hidden_size
        rows = np.arange(len(gates) * hidden).reshape(len(gates), hidden)
        order = np.concatenate([rows[gates.index(gate)] for gate in self.entry.c_gates])

        def side(kind: str, bits: int) -> Product:
            weights, bias = (f"recurrent.layers.{part}_{kind}_l{layer}" for part in _PARTS)
            return self._product(network, weights, bias, order, bits)

        return IntegerLayer(
            side("ih", PART_BITS if layer else self.input_bits), side("hh", PART_BITS)
        )

    def _product(
        self, network: StoredNetwork, weights: str, bias: str, order: Integers, bits: int
    ) -> Product:
        """The product of a matrix of the network, by the names of it and its bias."""
        where = f"{weights} of {self.name}"
        zeros = np.zeros(len(order), np.float32)
        biases = network.weights.get(bias, zeros)[order]
        small = network.small.get(weights)
        if small is None or small.scale is None:
            matrix = network.weights[weights][order]
            return Product.of_floats(matrix, biases, bits, where)
        return Product.of_rows(small.numbers[order], small.scale[order], biases, bits, where)

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
        return self.head.of(_FIXED.narrow(state[:, self.config.num_layers - 1]))

    @property
    def input_scale(self) -> Floats:
        """What the distance of a number from the mean is multiplied by to be an input."""
        assert self.scaler is not None
        deviations = np.asarray(self.scaler.input_std)
        return np.asarray(2.0**self.input_bits / deviations, np.float32)

    @property
    def output_scale(self) -> Floats:
        """What an output is multiplied by to be the distance of a number from the mean."""
        assert self.scaler is not None
        return np.asarray(np.asarray(self.scaler.output_std) / 2**OUTPUT_BITS, np.float32)

    def _entered(self, x: Integers) -> Integers:
        if self.embedding is None:
            return x
        return self.embedding[[self.places.get(point, 0) for point in x.tolist()]]

    def _step(self, x: Integers, state: Integers) -> Integers:
        layers = self.config.num_layers
        rows: list[Sequence[Integers]] = []
        for number, layer in enumerate(self.layers):
            before = [state[:, part * layers + number] for part in range(len(self.entry.parts))]
            of_h = layer.hidden.of(_FIXED.narrow(before[0]))
            rows.append(self.entry.integer_step(layer.input.of(x), of_h, before, _FIXED))
            x = _FIXED.narrow(rows[-1][0])
        return np.stack([row for part in zip(*rows, strict=True) for row in part], axis=1)


def _bits_below(most: float) -> int:
    """The bits behind the point of a number of 16 bits that is as large as ``most``."""
    return PART_BITS - math.frexp(most)[1]


def _refuse(name: str, network: StoredNetwork) -> None:
    config, reason = network.config, ""
    if config.bidirectional:
        reason = "reads whole sequences in both directions and has no state to step with"
    elif config.nonlinearity != "tanh":
        reason = f"has the function {config.nonlinearity}, and nothing bounds its h"
    elif config.proj_size:
        reason = "has projections, whose h may be larger than 1"
    elif not np.isfinite(np.concatenate([y.ravel() for y in network.weights.values()])).all():
        reason = "has weights that are not finite"
    if reason:
        raise UsageError(f"{name} {reason}, which fixed point does not hold; {_ELSEWHERE}")
