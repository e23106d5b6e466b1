"""A TorchScript file that is called as its module is, with more than tensors.

A trace takes tensors alone. Its method is kept under another name, and a ``forward`` is put beside
it, whose arguments are those of the module: what is no tensor has to be what it was in the export,
and the tensors are taken out of dictionaries, named tuples and dataclasses. TorchScript takes an
object of any class for one that has attributes of the same names.
"""

import dataclasses
import inspect
import io
import keyword
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipeline.export.archive import replaced_files
from pipeline.export.module.arguments import Arguments
from pipeline.export.quiet import quiet_exporter
from pipeline.runtimes.torchscript import OF_TENSORS

_CLASSES = "pipeline_arguments"  # the namespace of dataclasses in the file
_OPTIONAL = "Optional[Tensor]"
_BY_NAME = inspect.Parameter.KEYWORD_ONLY


def called_as_module(archive: bytes, arguments: Arguments) -> bytes:
    """The archive of a trace with a ``forward`` that takes ``arguments``.

    The traced method, which takes the tensors alone, is called ``OF_TENSORS``. The archive comes
    back as it is where TorchScript has no types for them.
    """
    try:
        forward = _Forward(arguments)
    except _UntypedError:
        return archive
    # ``__torch__.net.Block`` is in the file ``code/__torch__/net.py``.
    with quiet_exporter():
        kind = str(torch.jit.load(io.BytesIO(archive))._c.qualified_name)
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        folder = source.namelist()[0].split("/")[0] + "/code/"
        file = folder + kind.rpartition(".")[0].replace(".", "/") + ".py"
        code = source.read(file).decode()
    head = re.search(
        rf"  def forward\(self: {re.escape(kind)},\n.*?\) -> (.*?):\n", code, re.DOTALL
    )
    if head is None or OF_TENSORS in code:
        return archive
    traced = head[0].replace("def forward(", f"def {OF_TENSORS}(", 1)
    code = code.replace(head[0], forward.source(kind, head[1]) + traced, 1)
    new = {file: code}
    if forward.classes:
        new[f"{folder}__torch__/{_CLASSES}.py"] = "".join(forward.classes.values())
    return replaced_files(archive, {name: text.encode() for name, text in new.items()})


class _UntypedError(Exception):
    """TorchScript has no type for an argument."""


class _Forward:
    """The source of a ``forward`` in the form in which TorchScript stores it.

    Raises:
        _UntypedError: there is an argument that TorchScript has no type for.
    """

    def __init__(self, arguments: Arguments) -> None:
        self.classes: dict[str, str] = {}  # by name
        self._body: list[str] = []
        self._tensors: list[str] = []
        given, declared = arguments.values, []
        for name, parameter in _up_to_the_last(arguments).items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise _UntypedError
            value = given.get(name, parameter.default)
            kind = self._taken(value, _identifier(name))
            default = f"={_literal(value)}" if _is_constant(value) else ""
            declared.append((parameter.kind, f"{name}: {kind}", default))
        if len(self._tensors) != len(arguments.tensors):  # some lie where no type is
            raise _UntypedError
        self._parameters = ",\n    ".join(_with_defaults(declared))

    def source(self, kind: str, result: str) -> str:
        """The method of the class ``kind``, which gives what the traced one does, a ``result``."""
        return (
            f"  def forward(self: {kind},\n    {self._parameters}) -> {result}:\n"
            f"{''.join(self._body)}"
            f"    return (self).{OF_TENSORS}({', '.join(self._tensors)}, )\n"
        )

    def _taken(self, value: Any, place: str) -> str:
        """Take the tensors out of ``value``, which stands at ``place``; its type."""
        if isinstance(value, torch.Tensor):
            self._tensors.append(place)
            return "Tensor"
        if _is_constant(value):
            wrong = f"torch.{'__isnot__' if value is None else 'ne'}({place}, {_literal(value)})"
            self._refuse(wrong, f"'{_shown(place)}' is always {value} in this file")
            return _OPTIONAL if value is None else type(value).__name__
        if isinstance(value, tuple) and value:
            parts = [self._taken(part, f"({place})[{k}]") for k, part in enumerate(value)]
            return f"Tuple[{', '.join(parts)}]"
        if type(value) is list and value:
            count = f"'{_shown(place)}' has {len(value)} elements in this file"
            self._refuse(f"torch.ne(torch.len({place}), {len(value)})", count)
            return self._of_one_type("List[{}]", dict(enumerate(value)), place)
        if isinstance(value, dict) and value and all(isinstance(key, str) for key in value):
            return self._of_one_type("Dict[str, {}]", value, place)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._object(value, place)
        raise _UntypedError

    def _of_one_type(self, form: str, parts: Mapping[Any, Any], place: str) -> str:
        """A list or a dictionary; beside None, tensors are of the type that has None as well."""
        optional = any(part is None for part in parts.values())
        kinds = set()
        for key, part in parts.items():
            where = f"({place})[{_literal(key)}]"
            if part is None:
                given = f"torch.__contains__({place}, {_literal(key)})" if form[0] == "D" else ""
                reason = f"'{_shown(where)}' is always None in this file"
                self._refuse(f"torch.__isnot__({where}, None)", reason, where_it_is=given)
                kinds.add(_OPTIONAL)
            elif optional and isinstance(part, torch.Tensor):
                self._refuse(f"torch.__is__({where}, None)", f"'{_shown(where)}' is a tensor")
                kinds.add(_OPTIONAL)
                self._tensors.append(f"unchecked_cast(Tensor, {where})")
            else:
                kinds.add(self._taken(part, where))
        if len(kinds) != 1:
            raise _UntypedError
        return form.format(kinds.pop())

    def _object(self, value: Any, place: str) -> str:
        """A dataclass; its fields that TorchScript has no types for are not asked for."""
        name = _identifier(type(value).__name__)
        fields = []
        for field in dataclasses.fields(value):
            body, tensors = list(self._body), list(self._tensors)
            try:
                kind = self._taken(getattr(value, field.name), f"{place}.{_identifier(field.name)}")
                fields.append(f"  {field.name} : {kind}\n")
            except _UntypedError:
                self._body, self._tensors = body, tensors
        source = f"class {name}:\n{''.join(fields)}"
        if not fields or self.classes.setdefault(name, source) != source:
            raise _UntypedError
        return f"__torch__.{_CLASSES}.{name}"

    def _refuse(self, condition: str, reason: str, where_it_is: str = "") -> None:
        """Refuse what is given for a ``reason``; where a key may be missing, if it is there."""
        lines = [
            f"if {condition}:",
            f'  ops.prim.RaiseException({_literal(reason)}, "builtins.ValueError")',
            "else:",
            "  pass",
        ]
        if where_it_is:
            lines = [f"if {where_it_is}:", *(f"  {line}" for line in lines), "else:", "  pass"]
        self._body.extend(f"    {line}\n" for line in lines)


def _up_to_the_last(arguments: Arguments) -> dict[str, inspect.Parameter]:
    """The parameters of ``forward``, up to the last one that was given."""
    parameters = arguments.signature.parameters
    names = list(parameters)
    last = max(names.index(name) for name in arguments.values)
    return {name: parameters[name] for name in names[: last + 1]}


def _with_defaults(declared: Sequence[tuple[Any, str, str]]) -> list[str]:
    """Parameters of the kinds, with the declarations and the defaults ``declared``.

    Those that go by place have a default if all after them have one.
    """
    by_name = [f"{text}{default}" for kind, text, default in declared if kind is _BY_NAME]
    by_place, required = [], False
    for _, text, default in reversed([each for each in declared if each[0] is not _BY_NAME]):
        required = required or not default
        by_place.append(text if required else f"{text}{default}")
    return [*reversed(by_place), *(["*", *by_name] if by_name else [])]


def _shown(place: str) -> str:
    return re.sub(r'[()"]', "", place)


def _identifier(name: str) -> str:
    if not name.isascii() or not name.isidentifier() or keyword.iskeyword(name):
        raise _UntypedError
    return name


def _is_constant(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)


def _literal(value: Any) -> str:
    """A constant as TorchScript writes it."""
    if isinstance(value, str):
        text = value.replace("\\", "/").replace('"', "'")
        if isinstance(value, str) and text.isascii() and text.isprintable():
            return f'"{text}"'
        raise _UntypedError
    if isinstance(value, float) and not math.isfinite(value):
        raise _UntypedError
    return repr(value)
