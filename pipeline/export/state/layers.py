"""Recurrent layers and cells that ``forward`` calls without a state, or with a constant one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Parts = tuple[Tensor, ...]  # h, or h and c


@dataclass
class Chain:
    """Calls of the same layer that pass the state on from one to the next.

    ``given`` is the state that the first of them was called with, None if it was none. ``end`` is
    the state that the last of them gave.
    """

    given: Parts | None
    end: Parts = ()


Key = tuple[str, int]  # qualified name of a layer, and the number of one of its chains


class Calls:
    """The chains of calls of all layers of ``module`` in one call of it.

    A layer is called for the first time, begins a chain, and the next call goes on with it if it
    is called with the very tensors that the call before gave. ``starts`` are the states to begin
    the chains with in place of those that the layers are called with; other layers are then left
    alone, since a hook may not run where a loop over time becomes a scan.
    """

    def __init__(self, module: nn.Module, starts: Mapping[Key, Parts] | None = None) -> None:
        self.chains: dict[Key, Chain] = {}
        self._starts = starts or {}
        self._names: dict[nn.Module, str] = {
            child: name
            for name, child in module.named_modules()
            if isinstance(child, nn.RNNBase | nn.RNNCellBase)
            and (starts is None or any(name == layer for layer, _ in starts))
        }
        self._open: dict[nn.Module, Key] = {}

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow the calls inside of this block."""
        handles = []
        for layer in self._names:
            handles.append(layer.register_forward_pre_hook(self._enter, with_kwargs=True))
            handles.append(layer.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(
        self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if torch.compiler.is_dynamo_compiling():  # a step of scan, which hands on its own state
            return None
        hx = _parts(args[1] if len(args) > 1 else kwargs.get("hx"))
        last = self._open.get(layer)
        if hx is not None and last is not None and _are(hx, self.chains[last].end):
            return None  # the chain goes on
        name = self._names[layer]
        key = name, sum(other == name for other, _ in self.chains)
        self.chains[key], self._open[layer] = Chain(hx), key
        if key not in self._starts:
            return None
        start = self._starts[key]
        state = start if len(start) > 1 else start[0]
        if len(args) > 1:
            return (args[0], state, *args[2:]), kwargs
        return args, {**kwargs, "hx": state}

    def _leave(self, layer: nn.Module, args: object, output: Any) -> None:
        if torch.compiler.is_dynamo_compiling():
            return
        end = output[1] if isinstance(layer, nn.RNNBase) and isinstance(output, tuple) else output
        self.chains[self._open[layer]].end = _parts(end) or ()


def open_chains(some: Mapping[Key, Chain], *others: Mapping[Key, Chain]) -> dict[Key, Chain]:
    """The chains of ``some`` that begin with no state or with one that all ``others`` have too.

    They are of calls with other inputs, so a state that is the same in all is a constant.
    """
    return {
        key: chain
        for key, chain in some.items()
        if chain.end
        and all(key in other and _constant(chain.given, other[key].given) for other in others)
    }


def _constant(some: Parts | None, others: Parts | None) -> bool:
    if some is None or others is None:
        return some is others
    return len(some) == len(others) and all(map(torch.equal, some, others))


def _parts(hx: Any) -> Parts | None:
    if hx is None:
        return None
    return tuple(hx) if isinstance(hx, tuple | list) else (hx,)


def _are(some: Parts, others: Parts) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))
