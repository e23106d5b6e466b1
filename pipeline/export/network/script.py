"""The loops as methods of the TorchScript file.

The two classes below hold the loops as Python. Nothing here runs them: TorchScript's compiler reads
their source and adds their methods to the traced network. The methods give what the ONNX graphs of
the loops give; ``exported/README.md`` says what that is.
"""

import ast
import inspect
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from pipeline.export.network.forecast import known_spread
from pipeline.model import Network


class _Traced(Protocol):
    """The methods of a traced network that the loops call."""

    def forward(self, input: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One call of the network: (input, state) → (output, next_state)."""

    def next_output(self, state: Tensor) -> Tensor:
        """The output ``[batch, 1, …]`` that follows ``state``, before anything more is read."""


class TextLoop(_Traced, Protocol):
    """The loop of a text network: read a prompt, then draw character after character."""

    points: list[int]
    """The code points of the vocabulary; a literal in TorchScript."""

    def sample(
        self, logits: Tensor, number: Tensor, temperature: float, top_k: int, top_p: float
    ) -> tuple[Tensor, Tensor]:
        """Draw one entry of the vocabulary for each row of ``logits`` ``[batch, entries]``.

        ``number`` ``[batch]`` is from 0 to below 1. Returns the index of the entry and the
        logarithm of its probability, both ``[batch, 1]``.
        """
        # A temperature of 0 takes the likeliest entry, and nothing is drawn.
        if not temperature > 0.0:
            return logits.argmax(1, True), torch.zeros_like(number.unsqueeze(1))
        # Each logit becomes its distance to the largest, so exp cannot overflow.
        distance = (logits - logits.amax(1, True)) / max(temperature, 1.0e-30)
        if top_k > 0 or top_p < 1.0:
            # The top-k filter keeps the k likeliest entries.
            count = logits.size(1)
            if top_k > 0:
                count = min(top_k, count)
            ordered = torch.topk(distance, count, dim=1)[0]
            # Of these, top-p keeps the entries before which the probabilities do not reach p yet.
            if top_p < 1.0:
                chances = torch.softmax(ordered, 1)
                before = torch.cumsum(chances, 1) - chances
                ordered = ordered.masked_fill(before >= max(top_p, 1.0e-30), float("inf"))
            # Entries below the least one kept get the probability 0; a tie with it stays.
            distance = distance.masked_fill(distance < ordered.amin(1, True), float("-inf"))
        # The first entry at which the cumulative probability exceeds the number is drawn.
        reached = torch.cumsum(torch.exp(distance), 1)
        total = reached[:, -1:]
        index = (reached <= number.unsqueeze(1) * total).sum(1, True)
        return index, distance.gather(1, index) - torch.log(total)

    def generate(
        self,
        prompt: Tensor,
        uniform: Tensor,
        temperature: float,
        top_k: int,
        top_p: float,
        state: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(prompt, uniform, temperature, top_k, top_p, state) → (text, log_prob, next_state)."""
        if prompt.size(1) > 0:
            state = self.forward(prompt, state)[1]
        points = torch.tensor(self.points, device=state.device)
        # Numbers outside of [0, 1), and those that are not numbers, go to its nearest end.
        numbers = torch.zeros_like(uniform)
        if temperature > 0.0:
            numbers = torch.where(uniform > 0.0, uniform, numbers).clamp(max=1 - 2.0**-23)
        text = torch.zeros(uniform.size(), dtype=torch.int64, device=state.device)
        log_prob = torch.zeros_like(uniform)
        for step in range(uniform.size(1)):
            # Column 0 is the unknown entry, which is never written.
            logits = self.next_output(state)[:, 0, 1:]
            index, chance = self.sample(logits, numbers[:, step], temperature, top_k, top_p)
            point = points[index]
            state = self.forward(point, state)[1]
            text[:, step] = point[:, 0]
            log_prob[:, step] = chance[:, 0]
        return text, log_prob, state


class SeriesLoop(_Traced, Protocol):
    """The loop of a series network: read a history, then feed each value back as the next."""

    spread: list[float]
    """The standard deviation of the residuals of each target; a literal in TorchScript."""

    def forecast(
        self, history: Tensor, steps: int, noise: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(history, steps, noise, state) → (forecast, paths, next_state)."""
        if noise.size(1) > 0 and noise.size(2) != steps:
            raise ValueError("noise must have as many steps as the forecast")
        if history.size(1) > 0:
            state = self.forward(history, state)[1]
        # Each history goes on in several streams: the first without noise, one for each sample.
        streams = noise.size(1) + 1
        shocks = torch.cat([torch.zeros_like(noise[:, :1]), noise], 1)
        if noise.size(1) == 0:
            shocks = torch.zeros(noise.size(0), 1, steps, device=noise.device)
        # The streams of all histories stand side by side: [batch·streams, steps, targets].
        shocks = shocks.flatten(0, 1).unsqueeze(2) * torch.tensor(self.spread, device=noise.device)
        state = state.repeat_interleave(streams, 0)
        values = torch.zeros_like(shocks)
        for step in range(steps):
            value = self.next_output(state) + shocks[:, step : step + 1]
            state = self.forward(value, state)[1]
            values[:, step] = value[:, 0]
        values = values.unflatten(0, [noise.size(0), streams])
        return values[:, 0], values[:, 1:], state[::streams].contiguous()


def loop_methods(network: Network, spread: Sequence[float] | None) -> str:
    """The source of the methods of the loop of ``network``, for TorchScript's compiler."""
    if network.vocabulary is not None:
        return _source(TextLoop, points=[ord(character) for character in network.vocabulary])
    return _source(SeriesLoop, spread=known_spread(spread, network.head.out_features))


def _source(loop: type, **literals: object) -> str:
    """The methods of ``loop`` as text, each of ``literals`` in place of ``self.<its name>``."""
    (definition,) = ast.parse(inspect.getsource(loop)).body
    methods = [node for node in ast.walk(definition) if isinstance(node, ast.FunctionDef)]
    return "".join(f"{ast.unparse(_Literals(literals).visit(method))}\n" for method in methods)


class _Literals(ast.NodeTransformer):
    """Puts values in place of attributes of ``self``."""

    def __init__(self, literals: dict[str, object]) -> None:
        self.literals = literals

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """The literal in place of ``node``, or ``node`` itself where there is none."""
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            if node.attr in self.literals:
                return ast.parse(repr(self.literals[node.attr]), mode="eval").body
            return node
        return self.generic_visit(node)
