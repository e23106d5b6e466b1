"""States that ``forward`` takes and that its caller left out, supplied with zeros."""

import copy
from collections.abc import Mapping
from contextlib import suppress
from itertools import combinations
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from pipeline.errors import MalformedError
from pipeline.export.state.arguments import NamedArguments, run, tensors_of
from pipeline.export.state.kept_search import close
from pipeline.export.state.pairs import is_called_like_a_state


def supplied(body: nn.Module, arguments: NamedArguments, name: str) -> NamedArguments:
    """``arguments``, with zeros for states that ``forward`` takes and that are left out.

    Such a parameter is None, is called like a state, and gives the same when it is zeros of the
    form of a result.
    """
    omitted = [each for each in arguments.omitted if is_called_like_a_state(each)]
    if not omitted:
        return arguments

    def results_of(given: NamedArguments) -> Any:
        return run(copy.deepcopy(body), given.args, given.kwargs, name)

    results = results_of(arguments)
    expected = tensors_of(results, name)
    several = results.values() if isinstance(results, Mapping) else results
    parts = list(several) if isinstance(results, Mapping | tuple | list) else []
    for count in sorted({1, len(omitted)}, reverse=True):
        for parameters in combinations(omitted, count):
            for values in reversed(list(combinations(parts, count))):
                zeros = {
                    key: pytree.tree_map_only(torch.Tensor, torch.zeros_like, value)
                    for key, value in zip(parameters, values, strict=True)
                }
                ones = pytree.tree_map_only(torch.Tensor, torch.ones_like, zeros)
                with suppress(MalformedError):
                    given = arguments.and_given(body, zeros)
                    same = close(tensors_of(results_of(given), name), expected)
                    other = arguments.and_given(body, ones)
                    if same and not close(tensors_of(results_of(other), name), expected):
                        return given
    return arguments
