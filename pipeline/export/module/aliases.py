"""Weights that a module also keeps in dictionaries or lists, nested or not, while it is exported.

``torch.export`` runs a module with other tensors in place of its parameters and buffers. Where the
module reads them from elsewhere, ``self.weights["w"]``, it would still get the old ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def aliases_followed(root: nn.Module) -> Iterator[None]:
    """Keep such dictionaries and lists up to date whenever ``root`` is called, for a while."""
    owners = {
        id(tensor): (child, name)
        for child in root.modules()
        for name, tensor in (*child._parameters.items(), *child._buffers.items())
        if tensor is not None
    }
    places: list[tuple[Any, Any, Tensor]] = []
    torchs, seen = vars(nn.Module()), set()
    waiting: list[Any] = [
        value
        for child in root.modules()
        for attribute, value in vars(child).items()
        if attribute not in torchs
    ]
    while waiting:
        holder = waiting.pop()
        if not isinstance(holder, dict | list | tuple) or id(holder) in seen:
            continue
        seen.add(id(holder))
        pairs = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
        waiting += [held for _, held in pairs]
        if not isinstance(holder, tuple):  # which nothing can be put into
            places += [(holder, key, held) for key, held in pairs if id(held) in owners]

    def refresh(*_: object) -> None:
        if torch.compiler.is_dynamo_compiling():
            return
        for holder, key, tensor in places:
            owner, name = owners[id(tensor)]
            holder[key] = getattr(owner, name)

    handle = root.register_forward_pre_hook(refresh) if places else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()
        for holder, key, tensor in places:
            holder[key] = tensor
