"""Weights of others: what is understood of them, and that the network gives their numbers."""

import json
import string
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hostile import saved
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn
from tutorials import LAYERS, BothWays, CharRNN, Embedded, Forecaster

from pipeline.errors import MalformedError, UsageError
from pipeline.importer import Imported, ImportSettings, import_weights
from pipeline.importer.findings import findings
from pipeline.model import Network

LETTERS = string.ascii_lowercase
Module = TypeVar("Module", bound=nn.Module)

WRAPPERS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": lambda weights: weights,
    "Lightning": lambda weights: {
        "epoch": 3,
        "state_dict": {f"model.{name}": tensor for name, tensor in weights.items()},
        "hyper_parameters": {"lr": 0.1},
    },
    "trainer": lambda weights: {
        "model_state_dict": weights,
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
    },
    "compiled and parallel": lambda weights: {
        "model": {f"_orig_mod.module.{name}": tensor for name, tensor in weights.items()}
    },
}


def wrapped(weights: dict[str, Tensor], wrap: Callable[[dict[str, Tensor]], Any]) -> bytes:
    return saved(wrap(weights))


FORMATS: dict[str, Callable[[dict[str, Tensor]], bytes]] = {
    **{name: partial(wrapped, wrap=wrap) for name, wrap in WRAPPERS.items()},
    "before 1.6": lambda weights: saved(weights, _use_new_zipfile_serialization=False),
    "safetensors": lambda weights: save_safetensors(dict(weights)),
}


def seeded(module: Module, seed: int = 0) -> Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            scale = parameter.shape[-1] ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return module.eval()


def taken_in(
    folder: Path, weights: Mapping[str, Any], choices: ImportSettings | None = None, **names: Any
) -> Imported:
    path = folder / "weights.pt"
    path.write_bytes(saved(dict(weights)))
    return import_weights(path, choices or ImportSettings(), **names)


def run(network: Network, given: Tensor) -> Tensor:
    with torch.inference_mode():
        output: Tensor = network(given, network.zero_state(len(given)))[0]
        return output


def answer(module: nn.Module, given: Tensor) -> Tensor:
    with torch.inference_mode():
        output: Tensor = module(given)
        return output


def values(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def indices(size: int, *shape: int) -> Tensor:
    return torch.randint(size, shape, generator=torch.Generator().manual_seed(1))


def points(vocabulary: str, places: Tensor) -> Tensor:
    return torch.tensor([[ord(vocabulary[i]) for i in row] for row in places.tolist()])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    cell=st.sampled_from(list(LAYERS)),
    features=st.integers(1, 9),
    hidden=st.integers(1, 130),
    layers=st.integers(1, 4),
    outputs=st.integers(1, 5),
    form=st.sampled_from(list(FORMATS)),
)
def test_a_tutorials_forecaster_of_any_size_gives_its_own_numbers(
    tmp_path_factory: pytest.TempPathFactory,
    cell: str,
    features: int,
    hidden: int,
    layers: int,
    outputs: int,
    form: str,
) -> None:
    original = seeded(Forecaster(cell, features, hidden, layers, outputs))
    path = tmp_path_factory.mktemp("import") / "weights.pt"
    path.write_bytes(FORMATS[form](dict(original.state_dict())))
    choices = ImportSettings(task="series") if features == outputs > 1 else ImportSettings()
    network = import_weights(path, choices).network
    assert network.config.cell == cell
    assert network.config.num_layers == layers
    x = values(3, 11, features)
    assert (run(network, x)[:, -1] - answer(original, x)).abs().max() <= 1e-6


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize(("hidden", "layers"), [(1, 1), (24, 1), (128, 2)])
def test_a_char_rnn_over_one_hot_letters_gives_its_own_numbers(
    tmp_path: Path, cell: str, hidden: int, layers: int
) -> None:
    original = seeded(CharRNN(cell, 26, hidden, layers))
    choices = ImportSettings(one_hot=True, vocabulary=LETTERS)
    network = taken_in(tmp_path, original.state_dict(), choices).network
    given = indices(26, 2, 40)
    logits = run(network, points(LETTERS, given))
    assert (logits[..., 1:] - answer(original, given)).abs().max() <= 1e-6
    assert logits[..., 0].softmax(dim=-1).max() <= 1
    assert (logits.softmax(dim=-1)[..., 0] == 0).all(), "the unknown entry is never written"


@pytest.mark.parametrize("cell", LAYERS)
def test_an_embedding_in_front_is_found_with_its_vocabulary(tmp_path: Path, cell: str) -> None:
    original = seeded(Embedded(cell, 5, 7, 6, num_layers=2))
    network = taken_in(tmp_path, original.state_dict(), ImportSettings(vocabulary="αβγ😀é")).network
    given = indices(5, 2, 9)
    assert (
        run(network, points("αβγ😀é", given))[..., 1:] - answer(original, given)
    ).abs().max() <= 1e-6


def test_with_one_character_less_index_0_is_the_unknown_entry(tmp_path: Path) -> None:
    original = seeded(Embedded("gru", 5, 7, 6))
    network = taken_in(tmp_path, original.state_dict(), ImportSettings(vocabulary="abcd")).network
    given = indices(5, 2, 9)
    logits = run(network, points("?abcd", given))
    assert (logits - answer(original, given)).abs().max() <= 1e-6


def test_projections_biases_and_single_cells_are_understood(tmp_path: Path) -> None:
    projected = seeded(Embedded("lstm", 4, 3, 6, proj_size=2))
    network = taken_in(tmp_path, projected.state_dict(), ImportSettings(vocabulary="abcd")).network
    given = indices(4, 2, 9)
    assert network.config.proj_size == 2
    assert (
        run(network, points("abcd", given))[..., 1:] - answer(projected, given)
    ).abs().max() <= 1e-6

    bare = nn.Module()
    bare.rnn = nn.RNN(2, 5, nonlinearity="relu", bias=False, batch_first=True)
    bare.fc = nn.Linear(5, 1, bias=False)
    seeded(bare)
    network = taken_in(tmp_path, bare.state_dict(), ImportSettings(nonlinearity="relu")).network
    x = values(2, 8, 2)
    assert not network.config.bias
    assert (run(network, x) - bare.fc(bare.rnn(x)[0])).abs().max() <= 1e-6

    cell = nn.ModuleDict({"step": nn.GRUCell(2, 5), "fc": nn.Linear(5, 1)})
    seeded(cell)
    network = taken_in(tmp_path, cell.state_dict()).network
    state = cell["step"](x[:, 1], cell["step"](x[:, 0]))
    assert (run(network, x[:, :2])[:, -1] - cell["fc"](state)).abs().max() <= 1e-6


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("readout", ["last", "final", "each"])
def test_both_directions_are_read_as_the_user_says(tmp_path: Path, cell: str, readout: Any) -> None:
    original = seeded(BothWays(cell, readout))
    with pytest.raises(UsageError, match=r"--readout: last .* final .* each"):
        taken_in(tmp_path, original.state_dict())
    network = taken_in(tmp_path, original.state_dict(), ImportSettings(readout=readout)).network
    x = values(2, 9, 2)
    assert (run(network, x) - answer(original, x)).abs().max() <= 1e-6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floats_are_taken_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    original = seeded(Forecaster("lstm", 1, 4, 1, 1)).to(dtype)
    imported = taken_in(tmp_path, original.state_dict())
    x = values(1, 5, 1)
    assert (run(imported.network, x)[:, -1] - answer(original.float(), x)).abs().max() <= 1e-6
    assert str(dtype).removeprefix("torch.") in findings(imported)[0].value


def test_a_scaler_goes_into_the_network(tmp_path: Path) -> None:
    original = seeded(Forecaster("lstm", 2, 4, 1, 1))
    choices = ImportSettings(scaler=((10.0, 2.0), (-1.0, 0.5)), output_scaler=((10.0, 2.0),))
    network = taken_in(tmp_path, original.state_dict(), choices).network
    x = values(2, 6, 2)
    raw = x * torch.tensor([2.0, 0.5]) + torch.tensor([10.0, -1.0])
    assert (run(network, raw)[:, -1] - (answer(original, x) * 2 + 10)).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("module", "choices", "message"),
    [
        (
            Forecaster("lstm", 3, 4, 1, 3),
            ImportSettings(),
            "--one-hot --vocabulary .* --task series",
        ),
        (CharRNN("rnn", 26, 4), ImportSettings(one_hot=True), "26 characters: give them"),
        (
            Forecaster("lstm", 2, 4, 1, 1),
            ImportSettings(scaler=((0, 1), (1, 2))),
            "--output-scaler",
        ),
        (Forecaster("lstm", 3, 4, 1, 1), ImportSettings(scaler=((0, 1), (1, 2))), "given 2 times"),
        (Forecaster("gru", 1, 4, 1, 1), ImportSettings(nonlinearity="relu"), "is for the cell rnn"),
        (Forecaster("gru", 1, 4, 1, 1), ImportSettings(readout="last"), "for two directions"),
        (Embedded("gru", 4, 3, 6), ImportSettings(task="series"), "has an embedding 'embed'"),
        (Embedded("gru", 4, 3, 6), ImportSettings(one_hot=True), "leave --one-hot out"),
        (CharRNN("rnn", 4, 5), ImportSettings(task="text", scaler=((0, 1),)), "exclude each other"),
    ],
)
def test_what_only_the_user_knows_is_asked_with_the_candidates(
    tmp_path: Path, module: nn.Module, choices: ImportSettings, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        taken_in(tmp_path, module.state_dict(), choices)


def test_a_choice_of_layers_state_dicts_and_weights_to_leave_out(tmp_path: Path) -> None:
    original = seeded(Forecaster("gru", 2, 4, 1, 1))
    weights = dict(original.state_dict())
    other = {f"encoder.{name}": tensor for name, tensor in nn.LSTM(1, 3).state_dict().items()}
    with pytest.raises(
        UsageError, match=r"'gru' \(GRU, 2 → 1 × 4\), 'encoder' \(LSTM, 1 → 1 × 3\)"
    ):
        taken_in(tmp_path, weights | other)
    imported = taken_in(tmp_path, weights | other, recurrent="gru")
    x = values(2, 6, 2)
    assert (run(imported.network, x)[:, -1] - answer(original, x)).abs().max() <= 1e-6
    assert "left out: encoder.weight_ih_l0" in findings(imported)[1].because
    with pytest.raises(UsageError, match="did you mean 'encoder'"):
        taken_in(tmp_path, weights | other, recurrent="encode")

    with pytest.raises(UsageError, match="state dicts net, average; choose by --key"):
        taken_in(tmp_path, {"net": weights, "average": weights})
    assert taken_in(tmp_path, {"net": weights, "average": weights}, key="net").network

    with pytest.raises(MalformedError, match=r"unexpected criterion.weight \[3\]"):
        taken_in(tmp_path, weights | {"criterion.weight": torch.ones(3)})
    named = taken_in(tmp_path, weights | {"criterion.weight": torch.ones(3)}, ignore=["criterion"])
    assert named.ignored == ("criterion.weight",)
    with pytest.raises(UsageError, match="no weight or layer is called 'critrion'"):
        taken_in(tmp_path, weights | {"criterion.weight": torch.ones(3)}, ignore=["critrion"])


@pytest.mark.parametrize(
    "layer",
    [nn.Conv1d(2, 1, 3), nn.Linear(4, 4), nn.LayerNorm(4, bias=False), nn.BatchNorm1d(4)],
    ids=["convolution", "linear", "norm", "batch norm"],
)
def test_a_layer_cannot_be_left_out_since_it_would_be_another_network(
    tmp_path: Path, layer: nn.Module
) -> None:
    weights = dict(Forecaster("gru", 2, 4, 1, 1).state_dict())
    weights |= {f"front.{name}": tensor for name, tensor in layer.state_dict().items()}
    with pytest.raises(MalformedError, match=r"another network without front\.weight .* export"):
        taken_in(tmp_path, weights, ignore=["front"])


def test_a_copy_of_the_network_and_counters_can_be_left_out(tmp_path: Path) -> None:
    weights = dict(Forecaster("gru", 2, 4, 1, 1).state_dict())
    copy = {f"average.module.{name}": tensor + 1 for name, tensor in weights.items()}
    both = {f"net.{name}": tensor for name, tensor in weights.items()} | copy
    both |= {"average.n_averaged": torch.tensor(3), "steps": torch.tensor(1)}
    names: dict[str, Any] = {
        "recurrent": "net.gru",
        "ignore": ["average.module", "average.n_averaged", "steps"],
    }
    assert taken_in(tmp_path, both, **names).architecture.head == "net.fc"
    del both["average.module.fc.bias"]
    with pytest.raises(MalformedError, match="would be another network"):
        taken_in(tmp_path, both, **names)


def test_of_two_tables_alike_the_user_names_the_embedding(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = {f"rnn.{name}": tensor for name, tensor in nn.RNN(4, 4).state_dict().items()}
    weights = {"a.weight": torch.randn(6, 4), **layers, "b.weight": torch.randn(6, 4)}
    with pytest.raises(UsageError, match="could be a or b; choose by --embedding"):
        taken_in(tmp_path, weights, ImportSettings(vocabulary="abcdef"))
    found = taken_in(tmp_path, weights, ImportSettings(vocabulary="abcdef"), embedding="b")
    assert (found.architecture.embedding, found.architecture.head) == ("b", "a")


def test_infinite_weights_pass_where_they_are_allowed(tmp_path: Path) -> None:
    original = seeded(Forecaster("gru", 1, 4, 1, 3))
    with torch.no_grad():
        original.fc.bias[1] = -torch.inf
    with pytest.raises(MalformedError, match=r"NaN or infinity in fc\.bias"):
        taken_in(tmp_path, original.state_dict())
    network = taken_in(tmp_path, original.state_dict(), ImportSettings(non_finite=True)).network
    x = values(2, 6, 1)
    assert torch.equal(run(network, x)[:, -1], answer(original, x))


@pytest.mark.parametrize(
    ("content", "unknown"),
    [
        ("abcd", False),
        ("abcd\n", False),
        ("\ufeffabcd", False),
        ("abc", True),
        (json.dumps("abcd"), False),
        (json.dumps(list("abcd")), False),
        (json.dumps({"b": 1, "a": 0, "d": 3, "c": 2}), False),
        (json.dumps({"1": "b", "0": "a", "3": "d", "2": "c"}), False),
        (json.dumps({"a": 1, "b": 2, "c": 3}), True),
    ],
)
def test_a_vocabulary_may_be_a_file_of_many_forms(
    tmp_path: Path, content: str, unknown: bool
) -> None:
    (tmp_path / "vocabulary").write_text(content, encoding="utf-8")
    choices = ImportSettings(vocabulary=str(tmp_path / "vocabulary"))
    network = taken_in(tmp_path, Embedded("rnn", 4, 3, 5).state_dict(), choices).network
    assert network.vocabulary == ("abc" if unknown else "abcd")


def test_a_line_end_in_the_vocabulary_stays_where_the_size_says_so(tmp_path: Path) -> None:
    (tmp_path / "vocabulary").write_text("abc\n", encoding="utf-8")
    choices = ImportSettings(vocabulary=str(tmp_path / "vocabulary"))
    network = taken_in(tmp_path, Embedded("rnn", 4, 3, 5).state_dict(), choices).network
    assert network.vocabulary == "abc\n"
