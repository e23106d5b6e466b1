import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

from pipeline.config import CELLS, PRESETS, Config, SeriesSource, override, preset_order, select
from pipeline.errors import UsageError

SINE, CHAR = PRESETS["sine-lstm"], PRESETS["char-lstm"]

# option → a new value and the section where it belongs
COMMON: dict[str, tuple[Any, str]] = {
    "cell": ("gru", "model"),
    "hidden_size": (7, "model"),
    "num_layers": (3, "model"),
    "epochs": (9, "training"),
    "minutes": (1.5, "training"),
    "learning_rate": (0.125, "training"),
    "batch_size": (5, "training"),
    "window": (33, "training"),
    "weight_decay": (0.25, "training"),
    "state_penalty": (0.5, "training"),
    "clip_norm": (2.0, "training"),
    "precision": ("bfloat16", "training"),
    "seed": (42, "training"),
}
SINE_ONLY: dict[str, tuple[Any, str]] = {
    "length": (500, "source"),
    "frequency": ((1.0, 2.5), "source"),
    "noise": (0.5, "source"),
    "noise_seed": (3, "source"),
}
CHAR_ONLY: dict[str, tuple[Any, str]] = {
    "embedding_size": (11, "model"),
    "label_smoothing": (0.2, "training"),
}


def leaves(config: Config) -> dict[tuple[str, str], Any]:
    tree = config.model_dump()
    name = {("", "name"): tree.pop("name")}
    return name | {(part, key): value for part in tree for key, value in tree[part].items()}


def changed(before: Config, after: Config) -> dict[tuple[str, str], Any]:
    old = leaves(before)
    return {place: value for place, value in leaves(after).items() if old.get(place) != value}


# --- presets


def test_presets_are_the_six() -> None:
    assert list(PRESETS) == [
        "sine-rnn",
        "sine-lstm",
        "sine-gru",
        "char-rnn",
        "char-lstm",
        "char-gru",
    ]
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert preset.model.cell == name.split("-")[1]
        assert preset.source.kind == {"sine": "sine", "char": "text"}[name.split("-")[0]]
        assert preset.model.task == {"sine": "series", "char": "text"}[name.split("-")[0]]


def test_config_comes_back_from_json_as_it_was() -> None:
    for preset in PRESETS.values():
        assert Config.model_validate_json(preset.model_dump_json()) == preset


def test_presets_come_before_other_names() -> None:
    names = ["zebra", "char-gru", "apple", "sine-lstm", "sine-rnn"]
    assert sorted(names, key=preset_order) == [
        "sine-rnn",
        "sine-lstm",
        "char-gru",
        "apple",
        "zebra",
    ]


# --- select


@pytest.mark.parametrize(
    ("names", "family", "cell", "expected"),
    [
        ((), None, None, tuple(PRESETS)),
        ((), "sine", None, ("sine-rnn", "sine-lstm", "sine-gru")),
        ((), None, "gru", ("sine-gru", "char-gru")),
        ((), "char", "lstm", ("char-lstm",)),
        (("char-gru", "sine-rnn"), None, None, ("char-gru", "sine-rnn")),
        (("char-gru",), "char", "gru", ("char-gru",)),
    ],
)
def test_selection(
    names: tuple[str, ...], family: str | None, cell: str | None, expected: tuple[str, ...]
) -> None:
    assert tuple(config.name for config in select(names, family, cell)) == expected


@pytest.mark.parametrize(
    ("names", "family", "cell", "nearest"),
    [
        (("sine-lstn",), None, None, "'sine-lstm'"),
        (("sine-rnn", "chargru"), None, None, "'char-gru'"),
        ((), "snie", None, "'sine'"),
        ((), "chars", None, "'char'"),
        ((), None, "ltsm", "'lstm'"),
        ((), None, "rn", "'rnn'"),
    ],
)
def test_unknown_name_gets_the_nearest_one(
    names: tuple[str, ...], family: str | None, cell: str | None, nearest: str
) -> None:
    with refused(UsageError, f"did you mean {nearest}?"):
        select(names, family, cell)


def test_name_near_to_none_gets_all_of_them() -> None:
    with refused(UsageError, "'xyzzy'", *PRESETS):
        select(("xyzzy",), None, None)


@pytest.mark.parametrize(
    ("names", "family", "cell", "right"),
    [
        (("sine-rnn",), "char", None, "char-rnn"),
        (("sine-rnn",), None, "gru", "sine-gru"),
        (("sine-rnn",), "char", "gru", "char-gru"),
        (("char-rnn", "sine-rnn"), "char", None, "char-rnn"),
    ],
)
def test_contradiction_is_refused_and_the_right_name_given(
    names: tuple[str, ...], family: str | None, cell: str | None, right: str
) -> None:
    with refused(UsageError, "contradicts", f"'{right}'"):
        select(names, family, cell)


# --- override


def test_no_options_change_nothing() -> None:
    for preset in PRESETS.values():
        assert override(preset, {}) == preset


@pytest.mark.parametrize(
    ("config", "option", "value", "section"),
    [
        pytest.param(config, option, *place, id=f"{config.name}-{option}")
        for config, options in ((SINE, COMMON | SINE_ONLY), (CHAR, COMMON | CHAR_ONLY))
        for option, place in options.items()
    ],
)
def test_option_lands_where_it_belongs_and_nowhere_else(
    config: Config, option: str, value: object, section: str
) -> None:
    assert changed(config, override(config, {option: value})) == {(section, option): value}


def test_options_land_together() -> None:
    values = {option: value for option, (value, _) in (COMMON | CHAR_ONLY).items()}
    expected = {(section, option): value for option, (value, section) in COMMON.items()}
    expected |= {(section, option): value for option, (value, section) in CHAR_ONLY.items()}
    assert changed(CHAR, override(CHAR, values | {"name": "mine"})) == (
        expected | {("", "name"): "mine"}
    )


def test_source_is_replaced_as_a_whole() -> None:
    text = override(CHAR, {"source": {"kind": "text", "files": ("a.txt", "b.txt")}})
    assert changed(CHAR, text) == {("source", "files"): ("a.txt", "b.txt")}
    series = override(SINE, {"source": {"kind": "series", "file": "a.csv"}})
    assert series.source == SeriesSource(file="a.csv")


def test_option_of_a_new_source_lands_in_it() -> None:
    source = {"kind": "series", "file": "a.csv"}
    config = override(SINE, {"source": source, "season": 12})
    assert config.source == SeriesSource(file="a.csv", season=12)
    assert source == {"kind": "series", "file": "a.csv"}


def test_overriding_leaves_the_preset_as_it_was() -> None:
    before = SINE.model_copy(deep=True)
    override(SINE, {"hidden_size": 1, "frequency": (3.0,), "name": "x"})
    assert before == SINE == PRESETS["sine-lstm"]


SIZES = ["hidden_size", "num_layers", "epochs", "batch_size", "window"]


@pytest.mark.parametrize("value", [0, -3])
@pytest.mark.parametrize(
    ("config", "option"),
    [(config, option) for config in (SINE, CHAR) for option in SIZES]
    + [(SINE, "length"), (CHAR, "embedding_size")],
)
def test_size_of_zero_or_less_is_refused_by_its_flag(
    config: Config, option: str, value: int
) -> None:
    with refused(UsageError, f"--{option.replace('_', '-')} {value}", "greater than or equal"):
        override(config, {option: value})


@settings(max_examples=50, deadline=None)
@given(option=st.sampled_from(SIZES), value=st.integers(max_value=0))
def test_no_size_below_one_is_taken(option: str, value: int) -> None:
    with refused(UsageError, f"--{option.replace('_', '-')} {value}: "):
        override(SINE, {option: value})


@settings(max_examples=50, deadline=None)
@given(option=st.sampled_from(SIZES), value=st.integers(1, 64))
def test_every_size_from_one_is_taken(option: str, value: int) -> None:
    assert value in leaves(override(SINE, {option: value})).values()


NUMBERS = [
    *((SINE, option) for option in ("learning_rate", "minutes", "clip_norm", "noise")),
    *((CHAR, option) for option in ("weight_decay", "state_penalty", "label_smoothing", "dropout")),
]


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize(("config", "option"), NUMBERS)
def test_number_that_is_negative_or_not_finite_is_refused_by_its_flag(
    config: Config, option: str, value: float
) -> None:
    with refused(UsageError, f"--{option.replace('_', '-')} {value}"):
        override(config, {option: value})


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_frequency_that_cannot_be_is_refused_by_its_flag(value: float) -> None:
    with refused(UsageError, f"--frequency {value}"):
        override(SINE, {"frequency": (1.0, value)})


@pytest.mark.parametrize("option", ["learning_rate", "minutes", "clip_norm"])
def test_zero_is_refused_where_it_would_do_nothing(option: str) -> None:
    with refused(UsageError, f"--{option.replace('_', '-')} 0"):
        override(SINE, {option: 0})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("hidden_size", 1.5),
        ("hidden_size", 10**9),
        ("label_smoothing", 1.0),
        ("dropout", 1.0),
        ("seed", -1),
        ("seed", 2**31),
        ("precision", "float8"),
        ("cell", "transformer"),
        ("name", "../outside"),
        ("name", ".hidden"),
        ("name", ""),
        ("name", "line\n"),
        ("name", "x" * 101),
    ],
)
def test_value_out_of_range_is_refused_by_its_flag(option: str, value: object) -> None:
    with refused(UsageError, f"--{option.replace('_', '-')} "):
        override(CHAR, {option: value})


@pytest.mark.parametrize(
    ("config", "option"),
    [(CHAR, option) for option in (*SINE_ONLY, "season")]
    + [(SINE, option) for option in ("embedding_size", "season", "files", "nonsense")],
)
def test_option_without_meaning_for_the_task_is_refused(config: Config, option: str) -> None:
    with refused(UsageError, f"--{option.replace('_', '-')} means nothing", f"'{config.name}'"):
        override(config, {option: 5})


def test_label_smoothing_of_a_series_is_refused() -> None:
    with refused(UsageError, "--label-smoothing means nothing"):
        override(SINE, {"label_smoothing": 0.1})


def test_option_of_the_sine_is_refused_for_a_file() -> None:
    source = {"kind": "series", "file": "a.csv"}
    with refused(UsageError, "--noise means nothing"):
        override(SINE, {"source": source, "noise": 0.1})


@pytest.mark.parametrize(
    ("config", "source"),
    [
        (CHAR, {"kind": "series", "file": "a.csv"}),
        (CHAR, {"kind": "sine"}),
        (SINE, {"kind": "text"}),
    ],
)
def test_source_of_the_other_task_is_refused(config: Config, source: dict[str, Any]) -> None:
    with refused(UsageError, f"cannot learn from '{source['kind']}'"):
        override(config, {"source": source})


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_needs_two_layers(cell: str) -> None:
    for config in (SINE, CHAR):
        with refused(UsageError, "--dropout", "--num-layers 2"):
            override(config, {"cell": cell, "dropout": 0.2})
        deep = override(config, {"cell": cell, "dropout": 0.2, "num_layers": 2})
        assert deep.model.dropout == 0.2
