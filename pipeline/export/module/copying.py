"""A copy of a module to work on: on the CPU, in ``eval()``, its weights settled, without gradients.

The module itself is only read.
"""

import copy
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.optim.swa_utils import AveragedModel

from pipeline.errors import MalformedError, UsageError, one_line
from pipeline.export.function_mode import Function, FunctionMode
from pipeline.export.module.blame import user_line
from pipeline.export.module.nested import holds_tensors

_SETTERS = (WeightNorm, SpectralNorm, BasePruningMethod)  # hooks that set a weight at every call
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
_TRAINERS = ("_trainer", "_fabric")  # of a LightningModule, with the data and all of the training


def working_copy(module: nn.Module) -> nn.Module:
    """A copy of ``module``, without the wrappers of ``torch.compile``, DataParallel and the like.

    Raises:
        MalformedError: it cannot be copied, or has no weights yet.
        UsageError: it is no module.
    """
    if not isinstance(module, nn.Module):
        what = getattr(module, "__name__", type(module).__name__)
        hint = f"call it, {what}(…)" if isinstance(module, type) else "give an nn.Module"
        raise UsageError(f"{what} is no module but a {type(module).__name__}; {hint}")
    module = _unwrapped(module)
    _refuse_without_weights(module)
    twin = _copied(module)
    try:
        twin.cpu()
        twin.eval()
        for parameter in twin.parameters():
            parameter.requires_grad_(False)
        for child in twin.modules():
            _settle(child)
            _excuse_failing_properties(child)
    except Exception as error:
        raise _cannot_copy(module, error) from error
    return twin


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module within what ``torch.compile``, DataParallel and AveragedModel make of one."""
    while True:
        if type(module).__module__.startswith("torch._dynamo."):  # of torch.compile
            module = module.get_submodule("_orig_mod")
        elif isinstance(module, _WRAPPERS):
            module = module.get_submodule("module")
        else:
            return module


def _refuse_without_weights(module: nn.Module) -> None:
    name = type(module).__name__
    for key, tensor in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(tensor):
            raise MalformedError(f"'{key}' of {name} has no size yet; call the module once before")
        if tensor.is_meta:
            raise MalformedError(
                f"'{key}' of {name} is on the device 'meta' and has no numbers; load its weights "
                "with load_state_dict(…, assign=True) before"
            )


class _DetachedCopies(FunctionMode):
    """Copies of tensors that have a history, which PyTorch itself refuses, are made without it."""

    def answer(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is Tensor.__deepcopy__ and args[0].requires_grad:
            tensor, memo = args
            if not isinstance(tensor, nn.Parameter):
                if id(tensor) not in memo:
                    memo[id(tensor)] = tensor.detach().clone()
                return memo[id(tensor)]
        return func(*args, **kwargs)


def _copied(module: nn.Module) -> nn.Module:
    children = list(module.modules())
    memo: dict[int, Any] = {}
    for child in children:
        for key in _TRAINERS:
            if vars(child).get(key) is not None:
                memo[id(vars(child)[key])] = None
    try:
        with _DetachedCopies(), torch.no_grad():
            for child in reversed(children):  # inner ones first
                if _unwrapped(child) is not child:
                    memo[id(child)] = copy.deepcopy(_unwrapped(child), memo)
            try:
                twin: nn.Module = copy.deepcopy(module, dict(memo))
            except Exception:
                memo |= _shared(children, memo)
                twin = copy.deepcopy(module, memo)
    except Exception as error:
        raise _cannot_copy(module, error) from error
    return twin


def _shared(children: Sequence[nn.Module], memo: dict[int, Any]) -> dict[int, Any]:
    """Attributes without tensors that cannot be copied, such as locks: the copy has the same."""
    shared = {}
    for value in (value for child in children for value in _attributes(child)):
        try:
            copy.deepcopy(value, dict(memo))
        except Exception:  # whatever the class of the value raises
            if not holds_tensors(value):
                shared[id(value)] = value
    return shared


def _attributes(module: nn.Module) -> Iterator[Any]:
    own = vars(nn.Module())
    return (value for key, value in vars(module).items() if key not in own)


def _cannot_copy(module: nn.Module, error: Exception) -> MalformedError:
    """The refusal, which names the attribute at fault where it is one."""
    where, line = type(module).__name__, user_line(error)
    for name, child in module.named_modules():
        for key, value in vars(child).items():
            if key in vars(nn.Module()):
                continue
            try:
                with _DetachedCopies():
                    copy.deepcopy(value)
            except Exception:
                where += f", whose attribute '{f'{name}.{key}' if name else key}' fails,"
                return MalformedError(f"{where} cannot be copied: {one_line(error)}")
    return MalformedError(
        f"{where} cannot be copied{f' at {line}' if line else ''}: {one_line(error)}"
    )


def _settle(child: nn.Module) -> None:
    """Set the weights that are computed anew at every call, as they are in ``eval()``.

    Hooks do so for weight_norm, spectral_norm and pruning, and so do parametrizations. PyTorch's
    function to remove the latter changes the class, which the original shares with its copy.
    """
    if isinstance(child, torch.jit.ScriptModule):
        return
    with torch.no_grad():
        for key, hook in list(child._forward_pre_hooks.items()):
            if isinstance(hook, _SETTERS):
                hook.remove(child)
                del child._forward_pre_hooks[key]
        if parametrize.is_parametrized(child):
            names = list(cast(nn.ModuleDict, child.parametrizations))
            weights = {name: getattr(child, name).detach().clone() for name in names}
            if all(torch.equal(weights[name], getattr(child, name)) for name in names):
                child.__class__ = type(child).__bases__[0]
                del child._modules["parametrizations"]
                for name, weight in weights.items():
                    child.register_parameter(name, nn.Parameter(weight, requires_grad=False))


def _excuse_failing_properties(child: nn.Module) -> None:
    """Let properties that raise be absent: tracing reads them all, and asks whether each is there.

    A LightningModule has such, ``trainer`` for one. The copy gets a class of its own.
    """
    kind = type(child)
    excused = {}
    for name in dir(kind):
        found = inspect.getattr_static(kind, name)
        if isinstance(found, property):
            try:
                getattr(child, name)
            except AttributeError:
                pass  # it is absent already
            except Exception:  # whatever the class raises
                excused[name] = _excused(found)
    if excused:
        own = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        child.__class__ = type(kind.__name__, (_Unannounced, kind), own | excused)


class _Unannounced:
    """Keeps a class from the list that some authors' base classes make of their subclasses."""

    def __init_subclass__(cls, **options: Any) -> None:
        pass


def _excused(found: property) -> property:
    def get(self: nn.Module) -> Any:
        try:
            return found.__get__(self)
        except AttributeError:
            raise
        except Exception as error:
            raise AttributeError(str(error)) from error

    return property(get, found.fset, found.fdel)
