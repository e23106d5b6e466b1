"""The line of the user's code in a refusal."""

import inspect

import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import MalformedError
from pipeline.export.module.blame import user_line


class Mistaken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.ones(7, 7)  # the mistake


def line_of(kind: type, words: str) -> int:
    lines, first = inspect.getsourcelines(kind)
    return first + next(place for place, line in enumerate(lines) if words in line)


def test_the_innermost_line_of_the_user_is_named() -> None:
    module = nn.Sequential(nn.Identity(), Mistaken())
    with pytest.raises(RuntimeError) as error:
        module(torch.ones(2, 3))
    line = f"test_blame.py:{line_of(Mistaken, 'the mistake')}"
    assert user_line(error.value) == line


def test_an_error_without_a_traceback_is_judged_by_its_cause() -> None:
    error = MalformedError("wrapped")
    with pytest.raises(RuntimeError) as cause:
        Mistaken()(torch.ones(2, 3))
    error.__cause__ = cause.value
    assert user_line(error) == f"test_blame.py:{line_of(Mistaken, 'the mistake')}"


def test_an_error_that_only_libraries_raise_names_no_line() -> None:
    error = RuntimeError("of nobody")
    error.__cause__ = error
    assert user_line(error) == ""
