"""Rounding that compensates its errors on calibration inputs, column by column.

With X the vectors that a matrix W is multiplied with, whole numbers Q are wanted for which
Q·scale·X is near W·X. Columns are rounded one after another, and the error of each is made up for
by changing the columns that are still to come, by least squares: the inverse of the Hessian
H = XᵀX + damping says how much of it each can take. The columns that X moves most come first.

E. Frantar, S. Ashkboos, T. Hoefler and D. Alistarh, GPTQ: Accurate Post-Training Quantization for
Generative Pre-trained Transformers (2022), https://arxiv.org/abs/2210.17323.

The bias of a matrix is one more column, for an input that is always 1. It is not rounded, and comes
last, so it takes what is left. The last layer of all is fitted anew to what the float32 model gives
for the same inputs, by least squares, before it is rounded in the same way.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.contract.law import Array
from pipeline.variants.calibration import Samples
from pipeline.variants.rounding import nearest, row_scale

DAMPINGS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Shares of the mean of the Hessian's diagonal that are added to it; which is best, scores tell."""
_SHRINKS = np.linspace(1, 0.6, 9)  # of the scale of int4, which may leave out the largest weight
_RIDGE = 1e-4  # share of the same mean that holds back the fit of the last layer


@dataclass(frozen=True)
class Compensated:
    """The rounded numbers of a matrix, the scales of whole ones, and the bias that fits them."""

    numbers: Array
    scale: NDArray[np.float32] | None
    bias: NDArray[np.float32] | None


def compensated(
    matrix: Array, bias: Array | None, samples: Samples, largest: int | None, damping: float
) -> Compensated:
    """``matrix`` ``[rows, columns]`` in whole numbers up to ``largest``, or in float16; see above.

    float16 is what ``largest`` None stands for.
    """
    rest = matrix.astype(np.float64)
    columns = rest.shape[1]
    scale = None if largest is None else _scale(rest, samples, largest)
    if bias is not None:
        samples = np.column_stack([samples, np.ones(len(samples))])
        rest = np.column_stack([rest, bias.astype(np.float64)])
    hessian = samples.T @ samples
    diagonal = np.arange(columns)
    mean = hessian[diagonal, diagonal].mean() or 1.0
    hessian[diagonal, diagonal] += damping * mean
    order = np.argsort(-hessian[diagonal, diagonal], kind="stable")
    order = np.concatenate([order, np.arange(columns, rest.shape[1])])
    rest = rest[:, order]
    share = np.linalg.cholesky(np.linalg.inv(hessian[np.ix_(order, order)])).T
    numbers = np.zeros((len(rest), columns), np.float16 if scale is None else np.int8)
    factor = 1.0 if scale is None else scale.astype(np.float64)
    for place in range(columns):
        column = rest[:, place] / factor
        if largest is not None:
            column = np.clip(np.rint(column), -largest, largest)
        rounded = column.astype(numbers.dtype)
        numbers[:, order[place]] = rounded
        error = (rest[:, place] - rounded * factor) / share[place, place]
        rest[:, place + 1 :] -= np.outer(error, share[place, place + 1 :])
    left = None if bias is None else rest[:, columns].astype(np.float32)
    return Compensated(numbers, scale, left)


def fitted(
    matrix: Array, bias: Array, samples: Samples, wanted: Samples
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``matrix`` and ``bias``, changed so that they make of ``samples`` what is ``wanted``."""
    whole = np.column_stack([matrix, bias]).astype(np.float64)
    inputs = np.column_stack([samples, np.ones(len(samples))])
    hessian = inputs.T @ inputs
    hessian[np.diag_indices(len(hessian))] += _RIDGE * hessian.diagonal().mean()
    whole += np.linalg.solve(hessian, inputs.T @ (wanted - inputs @ whole.T)).T
    return whole[:, :-1], whole[:, -1]


def _scale(matrix: NDArray[np.float64], samples: Samples, largest: int) -> NDArray[np.float32]:
    """The scale of each row with the least error of rounding to the nearest, as inputs weigh it."""
    most = np.abs(matrix).max(axis=1)
    tried = [row_scale(most * shrink, largest) for shrink in _SHRINKS]
    weight = (samples**2).mean(axis=0)
    errors = []
    for scale in tried:
        numbers, _ = nearest(matrix, largest, scale)
        off = matrix - numbers * scale.astype(np.float64)[:, None]
        errors.append((off**2) @ weight)
    best = np.argmin(errors, axis=0)
    chosen: NDArray[np.float32] = np.array(tried)[best, np.arange(len(matrix))]
    return chosen
