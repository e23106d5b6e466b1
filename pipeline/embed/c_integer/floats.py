"""A network in fixed point, called with floats as its bundle is: the same scores judge it."""

from collections.abc import Mapping

import numpy as np

from pipeline.cells.fixed_point import OUTPUT_BITS, Integers
from pipeline.contract.law import Array
from pipeline.embed.c_integer.network import Floats, IntegerNetwork


class CalledWithFloats:
    """The oracle of the generated C as a model of the bundle's contract.

    A state stays in integers from call to call; zeros, which start a stream, are the same in both.
    """

    def __init__(self, integers: IntegerNetwork) -> None:
        self.integers = integers

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """The input and the state to the output and the next state, in this order."""
        given, state = inputs.values()
        output, next_state = self.integers.run(self._entered(given), state.astype(np.int64))
        return [self._left(output), next_state]

    def _entered(self, given: Array) -> Integers:
        """What the functions ``model_input`` of the C and of its caller make of numbers."""
        scaler = self.integers.scaler
        if scaler is None:
            return given.astype(np.int64)
        away = (given - np.asarray(scaler.input_mean, np.float32)) * self.integers.input_scale
        away = np.where(np.isnan(away), np.float32(-32767), away).clip(-32767, 32767)
        return np.trunc(away + np.copysign(np.float32(0.5), away)).astype(np.int64)

    def _left(self, output: Integers) -> Floats:
        scaler = self.integers.scaler
        if scaler is None:
            return np.asarray(output / 2**OUTPUT_BITS, np.float32)
        mean = np.asarray(scaler.output_mean, np.float32)
        return np.asarray(output * self.integers.output_scale + mean, np.float32)
