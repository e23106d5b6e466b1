"""The form of a mode that sees every call of torch's functions while it is entered."""

from collections.abc import Callable, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]


class FunctionMode(TorchFunctionMode):
    """Subclasses say in :meth:`answer` what the calls give that they look for."""

    def __torch_function__(
        self,
        func: Function,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The answer of the subclass, whatever the types."""
        return self.answer(func, args, kwargs or {})

    def answer(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a call gives: by default, what the function gives."""
        return func(*args, **kwargs)
