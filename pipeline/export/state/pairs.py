"""Arguments and results of ``forward`` that are the states before and after a call."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice, permutations

from torch import Tensor

from pipeline.cells import CELLS
from pipeline.errors import UsageError, unknown
from pipeline.export.state.arguments import NamedArguments

Pairs = tuple[tuple[int, int], ...]  # the numbers of arguments and of results

_STATE = re.compile(
    r"(h|c|s|z)(x|n|t|0|_?prev|_?0|_?t|_?in|_?n)?|(prev|last|old|init|initial)_\w+"
    r"|(\w+_)?(hidden|state|states|hidden_states?|hiddens|cell_state|carry|cache|caches|memory|mem"
    rf"|buffer|buf|hx|cx|{'|'.join(CELLS)})(_\w+)?"
)
_TRIALS = 12


def is_called_like_a_state(name: str) -> bool:
    """Whether people call arguments so that are states: ``h``, ``hx``, ``state``, ``hidden_0``."""
    return _STATE.fullmatch(name.lower()) is not None


def told_pairs(
    told: Mapping[str, str | int], arguments: NamedArguments, results: Sequence[str]
) -> Pairs:
    """The pairs that the user names; a name may stand for all tensors of an argument or result.

    Raises:
        UsageError: there is no such argument or result, or they have other numbers of tensors.
    """
    pairs: list[tuple[int, int]] = []
    for before, after in told.items():
        names = arguments.parameters.get(before, [before])
        if not set(names) <= set(arguments.names) or not names:
            raise unknown("input", before, arguments.names)
        ends = (
            [after]
            if isinstance(after, int)
            else [
                k
                for k, name in enumerate(results)
                if re.fullmatch(rf"{re.escape(after)}(_\d+)*", name)
            ]
        )
        if not ends or not all(0 <= k < len(results) for k in ends):
            raise unknown("result", str(after), results)
        if len(ends) != len(names):
            raise UsageError(
                f"'{before}' has {len(names)} tensors and '{after}' has {len(ends)}; a state goes "
                "in as it comes out"
            )
        pairs += zip(map(arguments.names.index, names), ends, strict=True)
    return tuple(sorted(pairs))


def likely_pairs(
    arguments: NamedArguments,
    free: Sequence[int],
    results: Sequence[tuple[str, Tensor]],
    by_name: bool,
) -> Iterator[Pairs]:
    """Pairs of ``free`` arguments and ``results`` of the same type and shape, the likeliest first.

    First those whose arguments are called like states, then all others, and last none. If they can
    be told ``by_name`` alone, all others are left out, and so is what would take a result for a
    state that is the only one and is not called so.
    """
    fitting = {
        k: [j for j, (_, result) in enumerate(results) if _same_form(arguments.tensors[k], result)]
        for k in free
    }
    able = [k for k in free if fitting[k]]
    called = [k for k in able if is_called_like_a_state(arguments.names[k])]
    sets: list[list[int]] = [called] if called else []
    if not by_name:
        sets += [able, *([k] for k in able)]
    seen: list[Pairs] = []
    for chosen in sets:
        for pairs in islice(_assigned(chosen, fitting, arguments, results), _TRIALS):
            rest = len(results) > len(pairs)
            named = all(is_called_like_a_state(results[j][0]) for _, j in pairs)
            if pairs and pairs not in seen and (rest or named or not by_name):
                seen.append(pairs)
                yield pairs
    yield ()


def _assigned(
    chosen: Sequence[int],
    fitting: Mapping[int, Sequence[int]],
    arguments: NamedArguments,
    results: Sequence[tuple[str, Tensor]],
) -> Iterator[Pairs]:
    """Ways to give each of ``chosen`` a result of its own, by names, then in order from the end."""
    ends = sorted({j for k in chosen for j in fitting[k]})
    if len(ends) < len(chosen):
        return
    ways = [
        tuple(zip(chosen, order, strict=True))
        for some in reversed(list(islice(combinations(ends, len(chosen)), 200)))
        for order in islice(permutations(some), 24)
        if all(j in fitting[k] for k, j in zip(chosen, order, strict=True))
    ]

    def likeness(pairs: Pairs) -> int:
        return sum(_alike(arguments.names[k], results[j][0]) for k, j in pairs)

    yield from sorted(ways, key=likeness, reverse=True)  # which keeps the order of equals


def _alike(before: str, after: str) -> int:
    """2 for names like ``h`` and ``h_next``, 1 for a result that is called like any state."""
    stems = [
        re.sub(r"_?(next|new|out|prev|last|old|init|in|n|0|t|x)_?", "", s) for s in (before, after)
    ]
    return 2 if stems[0] == stems[1] else int(is_called_like_a_state(after))


def _same_form(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape
