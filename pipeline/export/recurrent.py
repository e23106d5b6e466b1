"""PyTorch's recurrent layers made of ONNX's own operators."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.cells import of_layer
from pipeline.export.ops import NODES


class OnnxLayers(nn.Module):
    """A module of recurrent layers of ``torch.nn`` as one ONNX operator per layer.

    ONNX knows no projections, yet the LSTM that has one, h = P·m with m = o·tanh(c), is one that
    has none: its gates W·x + R·h are W·x + (R·P)·m, and P is applied to what comes out. Only a
    first h has no m; it enters the first step beside x, with R for its weights.

    ``zeros_are_given``: where a layer starts from zeros, its node is given them. It need not be by
    the specification, but some runtimes crash that would have to make them for a dynamic batch.
    """

    def __init__(self, source: nn.RNNBase, zeros_are_given: bool = False) -> None:
        super().__init__()
        self.zeros_are_given = zeros_are_given
        if zeros_are_given:  # a buffer: zeros made in ONNX may be taken for float64
            self.register_buffer("zero", torch.zeros(1, 1, 1))
        self.entry, self.hidden_size = of_layer(source), source.hidden_size
        self.nonlinearity = source.mode.partition("_")[2].lower() or "tanh"
        self.num_layers, self.bias = source.num_layers, source.bias
        self.projected = source.proj_size > 0
        suffixes = ("", "_reverse") if source.bidirectional else ("",)
        self.num_directions = len(suffixes)

        def stacked(kind: str, layer: int) -> Tensor:
            """The weights of both directions, their gates in ONNX's order."""
            order, by_direction = self.entry.onnx_order, []
            for suffix in suffixes:
                gates = getattr(source, f"{kind}_l{layer}{suffix}").detach().chunk(len(order))
                by_direction.append(torch.cat([gates[place] for place in order]))
            return torch.stack(by_direction).contiguous()

        for layer in range(self.num_layers):
            w, r = stacked("weight_ih", layer), stacked("weight_hh", layer)
            if self.projected:
                p = torch.stack(
                    [getattr(source, f"weight_hr_l{layer}{suffix}").detach() for suffix in suffixes]
                )
                self.register_buffer(f"P_{layer}", p.transpose(1, 2).contiguous())
                # The columns of R for the first h of each direction, zero for the other's.
                first = [torch.block_diag(*r)[k : k + r.size(1)] for k in (0, r.size(1))]
                w_first = torch.cat([w, torch.stack(first[: len(r)])], dim=2)
                self.register_buffer(f"W_first_{layer}", w_first.contiguous())
                r = (r.double() @ p.double()).to(r.dtype)
            self.register_buffer(f"W_{layer}", w)
            self.register_buffer(f"R_{layer}", r)
            if self.bias:
                b = [stacked("bias_ih", layer), stacked("bias_hh", layer)]
                self.register_buffer(f"B_{layer}", torch.cat(b, dim=1).contiguous())

    def forward(
        self, x: Tensor, starts: Sequence[Sequence[Tensor]], lengths: Tensor | None = None
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """x ``[time, batch, input]`` through all layers.

        ``starts`` holds what each layer starts with: ``[h]``, ``[h, c]`` or nothing, which is
        zeros, in tensors ``[directions, batch, hidden]``. ``lengths`` is int32 ``[batch]``.
        Returns y ``[time, batch, directions·hidden]`` and what each layer ends with.
        """
        ends: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            y, *end = self._layer(layer, x, starts[layer], lengths)
            if self.projected:
                p = self.get_buffer(f"P_{layer}")
                y, end[0] = y @ p, end[0] @ p
            # [time, directions, batch, hidden] to [time, batch, directions·hidden]
            x = y.squeeze(1) if self.num_directions == 1 else y.transpose(1, 2).flatten(2)
            ends.append(end)
        return x, ends

    def _layer(
        self, layer: int, x: Tensor, start: Sequence[Tensor], lengths: Tensor | None
    ) -> tuple[Tensor, ...]:
        state: list[Tensor | None] = list(start) or [None] * len(self.entry.parts)
        weights = "W"
        if self.projected and state[0] is not None:
            weights, x, state[0] = "W_first", self._with_first(x, state[0], lengths), None
        w, r = self.get_buffer(f"{weights}_{layer}"), self.get_buffer(f"R_{layer}")
        b = self.get_buffer(f"B_{layer}") if self.bias else None
        if self.zeros_are_given:
            zeros = self.get_buffer("zero").expand(self.num_directions, x.size(1), self.hidden_size)
            state = [zeros if part is None else part for part in state]
        node = NODES[self.entry.operator]
        results: tuple[Tensor, ...]
        results = node(x, w, r, b, lengths, self.hidden_size, self.nonlinearity, *state)
        return results

    def _with_first(self, x: Tensor, h: Tensor, lengths: Tensor | None) -> Tensor:
        """x, and beside it h at the step each direction starts with, zero at the others."""
        steps = torch.arange(x.size(0), device=x.device)[:, None, None]
        last = x.size(0) - 1 if lengths is None else lengths[:, None] - 1
        firsts = [steps == 0, steps == last]
        beside = [
            torch.where(first, part, torch.zeros_like(part))
            for first, part in zip(firsts, h.unbind(), strict=False)
        ]
        return torch.cat([x, *beside], dim=2)
