"""Coverage: how many of the true values lie in the interval between the quantiles of samples.

The samples are those of ``pipeline run --samples``: to every value that is forecast, a normal
random number times the spread of the one-step errors is added, before the value is fed back.
Quantiles of 10 % and 90 % have 80 % of the values between them if the spread is right.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.contract.records import QUANTILES
from pipeline.model import Network

_LOW, *_, _HIGH = QUANTILES  # which the interval lies between
SAMPLES = 100  # sample paths of each free run
MOST_ORIGINS = 64  # free runs that are sampled at most
_ROWS = 1024  # paths side by side, to bound memory


def one_step_coverage(off: NDArray[np.float64], spread: Sequence[float]) -> float:
    """The share of the one-step errors ``off`` ``[steps, targets]`` inside the interval.

    One step ahead, the samples are normal, so that their quantiles need no samples.
    """
    return float((np.abs(off) <= NormalDist().inv_cdf(_HIGH) * np.asarray(spread)).mean())


def free_run_coverage(
    network: Network,
    first: Tensor,
    state: Tensor,
    truth: NDArray[np.float64],
    spread: Sequence[float],
) -> float:
    """The share of ``truth`` ``[origins, steps, targets]`` inside the interval of sample paths.

    ``first`` ``[origins, 1, targets]`` is the first forecast from every origin, and ``state`` is
    the state after it. The random numbers are the same in every call.
    """
    rng = np.random.default_rng(0)
    inside = []
    for some in torch.arange(len(first)).split(_ROWS // SAMPLES):
        numbers = rng.standard_normal((len(some), SAMPLES, truth.shape[1]), np.float32)
        noise = torch.from_numpy(numbers)[..., None] * torch.tensor(spread)
        noise = noise.flatten(0, 1).to(first.device)
        x = first[some].repeat_interleave(SAMPLES, dim=0) + noise[:, :1]
        carried, paths = state[some].repeat_interleave(SAMPLES, dim=0), [x]
        for step in range(1, truth.shape[1]):
            x, carried = network(x, carried)
            x = x + noise[:, step : step + 1]
            paths.append(x)
        sampled = torch.cat(paths, dim=1).unflatten(0, (len(some), SAMPLES)).double().cpu().numpy()
        low, high = np.quantile(sampled, (_LOW, _HIGH), axis=1)
        inside.append((low <= truth[some.numpy()]) & (truth[some.numpy()] <= high))
    return float(np.concatenate(inside).mean())
