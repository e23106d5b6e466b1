"""The states of a module: candidates of each kind are found, and proven together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, product

import torch
from torch import Tensor, nn

from pipeline.contract.tensors import Contract
from pipeline.errors import MalformedError
from pipeline.export.module.example import Axes, Example
from pipeline.export.state.arguments import NamedArguments, names_of_results, run
from pipeline.export.state.kept import Kept
from pipeline.export.state.kept_search import KeptSearch
from pipeline.export.state.layers import Chain, Key, open_chains
from pipeline.export.state.pairs import Pairs, likely_pairs, told_pairs
from pipeline.export.state.proof import BrokenError, Proof
from pipeline.export.state.pure import Fold, Pure, State
from pipeline.export.state.sized_inputs import SizedInputs
from pipeline.export.state.specs import contract_of
from pipeline.export.state.starts import Start, Starts

_LAYOUTS = 200  # combinations of axes of the batch that are tried
_SIZES = (3, 5, 7, 11, 13, 17)  # of the batch; one is taken that no state has
_WHOLE = 'take the whole sequence in one call, by --state none or states="none"'
_ACROSS = {
    nn.RNNBase: "it is bidirectional, or begins with what forward makes of its inputs",
    nn.RNNCellBase: "it begins with what forward makes of its inputs",
    nn.modules.conv._ConvNd: "it reads steps outside of the piece, and keeps none",
    nn.Module: "it works across steps, and keeps nothing from piece to piece",
}


@dataclass(frozen=True)
class Found:
    """The pure module, its states, its contract, and inputs like the user's."""

    pure: Pure
    states: tuple[State, ...]
    contract: Contract
    example: Example


class Search:
    """The search for the states of ``body``, a copy of the user's module of class ``name``.

    ``batch`` and ``time`` are the names of these axes in ``axes``.

    Raises:
        MalformedError: the module fails in PyTorch, or draws random numbers.
        UsageError: the axes do not fit the arguments.
    """

    def __init__(
        self,
        body: nn.Module,
        arguments: NamedArguments,
        axes: Axes,
        batch: str,
        time: str,
        name: str,
    ) -> None:
        self.body, self.name = body, name
        self.symbols = batch, time
        self.arguments = arguments
        names = self.arguments.names
        example = Example(Pure(body, arguments), arguments.tensors, names, axes)
        example.check_outputs((), axes)
        self.axes = dict(zip(names, example.axes, strict=True))
        self.draw = SizedInputs(example, batch, time)
        lengths = dict.fromkeys((self.draw.time, self.draw.time_of(1)))  # one step reads the most
        drawn = [self.draw.at(self.draw.batch, steps) for steps in lengths]
        self.search = KeptSearch(body, self.arguments, self.arguments.tensors, drawn, name)
        self.results = names_of_results(body, self.search.results)
        self.starts = Starts(
            body,
            self.arguments,
            self.results,
            self.axes,
            batch,
            self.draw.batch,
            has_batch=bool(self.draw.batch_symbol),
        )

    def whole(self) -> Found:
        """The module from its initial state, call by call: whole sequences, without states.

        Raises:
            MalformedError: it is no function of its inputs.
        """
        pure = Pure(self.body, self.arguments, self.search.initial())
        try:
            try:
                return self._proven(pure, [], whole=True)
            except BrokenError as broken:
                if broken.symbol != self.draw.batch_symbol:
                    raise
                return self._proven(pure, [], whole=True, rows=False)
        except BrokenError as broken:
            raise self._refusal(broken) from broken

    def explicit(self, told: Mapping[str, str | int] | None) -> Found:
        """The module with all its states, and the pairs of arguments and results ``told``.

        Without ``told``, those are found too.

        Raises:
            MalformedError: the states do not make pieces of a sequence give what the whole does.
            UsageError: ``told`` does not fit.
        """
        kept, values = self.search.found()
        chains = self._chains(kept, values)
        refusal: Exception | None = None
        for pairs in self._pairs(told):
            try:
                return self._with_layers(kept, values, dict(chains), pairs)
            except (BrokenError, MalformedError) as error:
                refusal = refusal or error
        if isinstance(refusal, BrokenError):
            raise self._refusal(refusal) from refusal
        assert refusal is not None  # there is always a try, if only without pairs
        raise refusal

    def _pairs(self, told: Mapping[str, str | int] | None) -> Iterator[Pairs]:
        if told is not None:
            return iter([told_pairs(told, self.arguments, self.results)])
        _, time = self.symbols
        free = [
            k for k, name in enumerate(self.arguments.names) if time not in self.axes[name].values()
        ]
        results = list(zip(self.results, self.search.one, strict=True))
        return likely_pairs(self.arguments, free, results, by_name=not self.draw.time_symbol)

    def _with_layers(
        self, kept: Kept, values: Sequence[Tensor], chains: dict[Key, Chain], pairs: Pairs
    ) -> Found:
        """With the states of layers, but for layers whose state is not one along time."""
        while True:
            parts = [(key, len(chain.end)) for key, chain in chains.items()]
            pure = Pure(self.body, self.arguments, kept, parts, pairs)
            try:
                return self._proven(pure, self.starts.of(pure, values, chains))
            except BrokenError as broken:
                blamed = [key for key in chains if key[0] == broken.place]
                if not blamed or broken.symbol != self.draw.time_symbol:
                    raise
                for key in blamed:
                    del chains[key]

    def _proven(
        self, pure: Pure, starts: Sequence[Start], whole: bool = False, rows: bool = True
    ) -> Found:
        """Proven with the first places of the batch in the states that make rows independent."""
        example = self._example(pure)
        draw = SizedInputs(example, *self.symbols)
        names = [name for k, name in enumerate(self.results) if k not in {r for _, r in pure.pairs}]
        refusal: BrokenError | None = None
        for states in self._laid_out(pure, starts, draw):
            contract = contract_of(pure, example, draw, states, names, self.name)
            time, batch = None if whole else contract.time, contract.batch if rows else None
            contract = replace(contract, time=time, batch=batch)
            try:
                Proof(pure, contract, states, draw, self.name).check()
                return Found(pure, tuple(states), contract, example)
            except BrokenError as broken:
                refusal = refusal or broken
                if broken.symbol != draw.batch_symbol:
                    break
        assert refusal is not None
        raise refusal

    def _example(self, pure: Pure) -> Example:
        """Inputs like the user's, without the states among them."""
        names = [self.arguments.names[k] for k in pure.inputs]
        axes = {name: self.axes[name] for name in names}
        return Example(pure, [self.arguments.tensors[k] for k in pure.inputs], names, axes)

    def _chains(self, kept: Kept, values: Sequence[Tensor]) -> dict[Key, Chain]:
        """Layers that are called without a state, or with one that does not depend on inputs.

        A state whose size follows the time belongs to a layer that runs along another axis.
        """
        if not self.draw.time_symbol:
            return {}
        pure, batch, time = Pure(self.body, self.arguments, kept), self.draw.batch, self.draw.time
        found, generator = [], torch.Generator().manual_seed(0)
        for steps, shift in ((time, 0), (time, 1), (time, -1), (time + 2, 0)):
            states = [
                value + torch.randn(value.shape, generator=generator)
                if value.is_floating_point()
                else value
                for value in values
            ]
            inputs = [_shifted(tensor, shift) for tensor in self.draw.at(batch, steps)]
            with suppress(Exception):  # which is told when the states are proven
                found.append(pure.called(*inputs, *states, every_layer=True)[0])
        if len(found) < 3:
            return {}
        return {
            key: chain
            for key, chain in open_chains(*found[:-1]).items()
            if key in found[-1]
            and not getattr(self.body.get_submodule(key[0]), "bidirectional", False)
            and [part.shape for part in chain.end] == [part.shape for part in found[-1][key].end]
        }

    def _laid_out(
        self, pure: Pure, starts: Sequence[Start], draw: SizedInputs
    ) -> Iterator[list[State]]:
        """The states, with the batch in places with which they keep their shapes.

        Raises:
            MalformedError: there are no such places, or the module runs at no other size.
        """
        own, others = (draw.batch, draw.time), []
        if draw.batch_symbol:
            dims = {size for start in starts for size in start.value.shape}
            others += [(next(n for n in _SIZES if n not in dims), draw.time)]
        if draw.time_symbol:
            others += [(draw.batch, draw.time + 2)]
        forms = list(dict.fromkeys((start.value.shape, start.layouts) for start in starts))
        failure: MalformedError | None = None
        fits = runs = False
        for layouts in islice(product(*(options for _, options in forms)), _LAYOUTS):
            chosen = dict(zip(forms, layouts, strict=True))
            of_states = [chosen[start.value.shape, start.layouts] for start in starts]
            states = [start.laid_out(its) for start, its in zip(starts, of_states, strict=True)]
            folds = [layout if isinstance(layout, Fold) else None for layout in of_states]
            pure.folds = folds[: len(pure.folds)]
            try:
                keeps = self._keeps_shapes(pure, states, draw, *own)
                runs = True
                keeps = keeps and all(self._keeps_shapes(pure, states, draw, *k) for k in others)
            except MalformedError as error:
                failure = failure or error
                continue
            if keeps:
                fits = True
                yield states
        if fits:
            return
        if failure is not None and not runs:
            raise failure
        if not starts:
            raise MalformedError(
                f"{self.name} has a dynamic axis that PyTorch runs at no other size than the "
                f"example's; leave it out of axes ({failure})"
            )
        where = " and ".join(dict.fromkeys(start.where for start in starts))
        raise MalformedError(
            f"{self.name} keeps states that do not follow the batch of its inputs, or that grow "
            f"with time: {where}; make them of the batch of the inputs, or leave "
            f"'{self.symbols[0]}' out of axes"
        )

    def _keeps_shapes(
        self, pure: Pure, states: Sequence[State], draw: SizedInputs, batch: int, time: int
    ) -> bool:
        given = [state.at(batch) for state in states]
        results = run(pure, [*draw.at(batch, time), *given], {}, self.name)
        ends = results[len(results) - len(given) :]
        return all(
            a.shape == b.shape and a.dtype == b.dtype for a, b in zip(given, ends, strict=True)
        )

    def _refusal(self, broken: BrokenError) -> MalformedError:
        place, kind = f"{self.name}.forward", nn.Module  # type: str, type[nn.Module]
        if broken.place:
            layer = self.body.get_submodule(broken.place)
            place = f"'{broken.place}' ({type(layer).__name__})"
            kind = next(its for its in _ACROSS if isinstance(layer, its))
        if broken.symbol is None:
            kept = " and ".join(f"'{each.name}'" for each in self.search.changed) or "nothing"
            return MalformedError(
                f"{place} does other things when its states are inputs ({broken.problem}); it "
                f"keeps {kept}: let these be tensors, and no Python condition ask for them"
            )
        if broken.symbol == self.draw.batch_symbol:
            return MalformedError(
                f"{place} gives other numbers where a row of the batch is alone "
                f"({broken.problem}); leave '{broken.symbol}' out of axes, or call it otherwise"
            )
        return MalformedError(
            f"{place} gives other numbers when a sequence comes in pieces ({broken.problem}): "
            f"{_ACROSS[kind]}; {_WHOLE}"
        )


def _shifted(tensor: Tensor, by: int) -> Tensor:
    """Integers that are all the same, as others; what is drawn like them would be no others."""
    same = tensor.numel() and bool((tensor == tensor.flatten()[0]).all())
    if tensor.is_floating_point() or not same or not by:
        return tensor
    return ~tensor if tensor.dtype is torch.bool else tensor + by
