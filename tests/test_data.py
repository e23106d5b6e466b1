import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

from pipeline.config import SeriesSource, SineSource, TextSource
from pipeline.contract.held_out import code_points
from pipeline.data import Series, Text, load
from pipeline.data.frames import read_series
from pipeline.data.series import sample_sine
from pipeline.data.text import read_text
from pipeline.errors import MalformedError, StorageError, UsageError

NUMBERS = [str(0.5 * (i % 7)) for i in range(120)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.csv"


def series_in(file: Path, lines: list[str], season: int = 1) -> Series:
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return read_series(SeriesSource(file=str(file), season=season))


def text_in(file: Path, data: bytes) -> Text:
    file.write_bytes(data)
    return read_text(TextSource(files=(str(file),)))


# --- sine


def test_default_sine_is_the_classic_sampled_wave() -> None:
    series = sample_sine(SineSource())
    expected = np.sin(np.linspace(0, 100, 1000)).astype(np.float32)
    np.testing.assert_array_equal(series.values, expected[:, None])
    assert series.values.dtype == np.float32
    assert series.digest == hashlib.sha256(expected.astype("<f4").tobytes()).hexdigest()


def test_longer_sine_begins_with_the_shorter_one() -> None:
    short, long = (sample_sine(SineSource(length=n)) for n in (500, 2000))
    np.testing.assert_allclose(long.values[:500], short.values, atol=1e-6)
    assert len(long.values) == 2000


def test_held_out_goes_on_from_the_test_part_as_the_wave_does() -> None:
    series = sample_sine(SineSource(length=200))
    x = np.arange(series.validation_end, 1200) * (100 / 999)
    np.testing.assert_allclose(series.held_out[:, 0], np.sin(x), atol=1e-6)


@pytest.mark.parametrize(
    ("frequency", "season"), [((1.0,), 63), ((2.0,), 31), ((0.5, 3.0), 126), ((1000.0,), 1)]
)
def test_season_is_the_period_of_the_slowest_wave(
    frequency: tuple[float, ...], season: int
) -> None:
    assert sample_sine(SineSource(frequency=frequency)).season == season


def test_several_waves_add_up() -> None:
    x = np.linspace(0, 100, 1000)
    both = sample_sine(SineSource(frequency=(1.0, 2.5)))
    np.testing.assert_allclose(both.values[:, 0], np.sin(x) + np.sin(2.5 * x), atol=1e-6)


def test_noise_has_the_deviation_asked_for_and_follows_its_seed() -> None:
    clean = sample_sine(SineSource(length=5000))
    noisy = [sample_sine(SineSource(length=5000, noise=0.3, noise_seed=s)) for s in (0, 0, 1)]
    assert noisy[0].digest == noisy[1].digest != noisy[2].digest
    difference = noisy[0].values - clean.values
    assert abs(difference.std() - 0.3) < 0.02
    assert abs(difference.mean()) < 0.02
    later = noisy[0].held_out - clean.held_out
    assert abs(later[-1000:].std() - 0.3) < 0.05


def test_waves_without_a_change_are_refused() -> None:
    with refused(MalformedError, "constant"):
        sample_sine(SineSource(frequency=(1e-60,)))


@settings(max_examples=30, deadline=None)
@given(length=st.integers(100, 400), frequency=st.floats(1e-3, 1e3))
def test_season_leaves_room_before_the_test_part(length: int, frequency: float) -> None:
    series = sample_sine(SineSource(length=length, frequency=(frequency,)))
    assert 1 <= series.season <= series.validation_end


# --- parts of a series


@settings(max_examples=30, deadline=None)
@given(st.integers(100, 5000))
def test_parts_of_a_series_follow_in_time_and_never_overlap(length: int) -> None:
    values = np.arange(length, dtype=np.float32)[:, None]
    series = Series(values, season=1, held_out=values)
    assert 0 < series.train_end < series.validation_end < length
    assert series.train_end == length * 6 // 10
    assert series.validation_end == length * 8 // 10
    np.testing.assert_array_equal(series.train, values[: series.train_end])


@pytest.mark.parametrize("length", [100, 333, 20_000])
def test_held_out_of_a_series_file_comes_after_all_that_training_saw(
    file: Path, length: int
) -> None:
    series = series_in(file, [str(i) for i in range(length)])
    assert series.held_out.min() >= series.validation_end
    assert 0 < len(series.held_out) <= min(2000, length - series.validation_end)


# --- series files


@pytest.mark.parametrize(
    "lines",
    [
        NUMBERS,
        ["load", *NUMBERS],
        ["", *NUMBERS, "", ""],
        [f" {n} " for n in NUMBERS],
        [f'"{n}"' for n in NUMBERS],
    ],
    ids=["bare column", "header", "empty lines", "spaces", "quotes"],
)
def test_column_of_numbers_is_read(file: Path, lines: list[str]) -> None:
    series = series_in(file, lines, season=7)
    np.testing.assert_array_equal(series.values[:, 0], np.array(NUMBERS, dtype=np.float32))
    assert series.values.shape == (120, 1)
    assert series.season == 7


@pytest.mark.parametrize("head", ["", "load\n"], ids=["bare", "header"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["Unix", "Windows", "old Mac"])
def test_byte_order_mark_and_every_kind_of_line_end_are_read(
    file: Path, head: str, newline: str
) -> None:
    text = "\ufeff" + head + "\n".join(NUMBERS)
    file.write_bytes(text.replace("\n", newline).encode())
    series = read_series(SeriesSource(file=str(file)))
    np.testing.assert_array_equal(series.values[:, 0], np.array(NUMBERS, dtype=np.float32))


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e999"])
def test_number_that_is_not_finite_is_refused_with_its_row(file: Path, cell: str) -> None:
    with refused(MalformedError, f"{file}, row 51", "not finite"):
        series_in(file, [*NUMBERS[:50], cell, *NUMBERS[50:]])


def test_number_too_large_for_float32_is_refused(file: Path) -> None:
    with refused(MalformedError, str(file), "51", "1e+300"):
        series_in(file, [*NUMBERS[:50], "1e300", *NUMBERS[50:]])


@pytest.mark.parametrize("cell", ["12 kW", "1_000", "0x10", "x" * 1000])
def test_cell_that_is_not_a_number_is_refused_with_its_row(file: Path, cell: str) -> None:
    with refused(MalformedError, f"{file}, row 51", "not a number"):
        series_in(file, [*NUMBERS[:50], cell, *NUMBERS[50:]])


def test_only_the_first_row_can_be_a_name(file: Path) -> None:
    with refused(MalformedError, "row 2", "'unit'"):
        series_in(file, ["load", "unit", *NUMBERS])


@pytest.mark.parametrize("row", ["1,2", "3,", "2026-01-01,4"])
def test_second_column_is_refused_with_its_row(file: Path, row: str) -> None:
    with refused(MalformedError, f"{file}, row 51", "2 columns"):
        series_in(file, [*NUMBERS[:50], row, *NUMBERS[50:]])


@pytest.mark.parametrize("count", [0, 1, 99])
def test_too_short_series_is_refused_with_its_length(file: Path, count: int) -> None:
    with refused(MalformedError, str(file), f"{count} values are too few"):
        series_in(file, NUMBERS[:count])


@pytest.mark.parametrize(
    "value",
    [lambda i: 5.0, lambda i: 5.0 if i < 100 else i, lambda i: 1e9 + i / 1000, lambda i: i * 1e-60],
    ids=["everywhere", "in training", "after rounding to float32", "after underflow"],
)
def test_constant_series_is_refused(file: Path, value: object) -> None:
    assert callable(value)
    with refused(MalformedError, str(file), "constant"):
        series_in(file, [repr(float(value(i))) for i in range(150)])


def test_season_longer_than_the_history_is_refused(file: Path) -> None:
    with refused(MalformedError, str(file), "--season 97"):
        series_in(file, NUMBERS, season=97)
    assert series_in(file, NUMBERS, season=96).season == 96


def test_series_that_is_not_utf8_is_refused_with_the_byte(file: Path) -> None:
    file.write_bytes(b"1\n2\n\xff\n")
    with refused(MalformedError, str(file), "byte 4"):
        read_series(SeriesSource(file=str(file)))


def test_binary_file_is_refused_as_a_series(file: Path) -> None:
    for data in (b"\0" * 500, b"1" * 200_000, b'"' + b"1" * 200_000):
        file.write_bytes(data)
        with refused(MalformedError, str(file)):
            read_series(SeriesSource(file=str(file)))


@pytest.mark.parametrize("kind", ["series", "text"])
def test_missing_file_and_folder_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    def source(path: Path) -> SeriesSource | TextSource:
        return SeriesSource(file=str(path)) if kind == "series" else TextSource(files=(str(path),))

    with refused(MalformedError, f"the {kind} is missing", str(tmp_path / "none")):
        load(source(tmp_path / "none"))
    with refused(StorageError, str(tmp_path)):
        load(source(tmp_path))


# --- text


def test_default_text_is_the_reference_that_python_carries() -> None:
    from pydoc_data.topics import topics

    text = read_text(TextSource())
    assert len(text.content) > 450_000
    assert all(topic in text.content for topic in topics.values())
    assert 90 < len(text.vocabulary) < 200


def test_digest_is_that_of_the_text_in_utf8(file: Path) -> None:
    data = "naïve café — Ελλάδα 🦊\n".encode()
    assert text_in(file, data).digest == hashlib.sha256(data).hexdigest()


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_parts_of_a_text_join_to_the_whole_at_nine_tenths(content: str) -> None:
    text = Text(content)
    assert text.train + text.validation == content
    assert len(text.train) == len(content) * 9 // 10
    assert text.validation.startswith(text.held_out)


def test_held_out_of_a_long_text_is_a_short_part_of_its_validation() -> None:
    text = Text("".join(map(chr, range(0x10000, 0x20000))))  # every character is its place
    assert 1000 < len(text.held_out) <= 4000
    assert text.validation.startswith(text.held_out)
    assert not set(text.held_out) & set(text.train)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_vocabulary_is_that_of_the_training_part_in_order(content: str) -> None:
    text = Text(content)
    assert list(text.vocabulary) == sorted(set(text.train))


def test_character_of_the_validation_part_alone_is_not_in_the_vocabulary() -> None:
    assert Text("ab" * 45 + "z" * 10).vocabulary == "ab"


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_code_points_are_those_of_unicode(content: str) -> None:
    assert code_points(content).tolist() == [ord(character) for character in content]
    assert code_points(content).dtype == np.int64


def test_files_are_joined_in_the_order_given(tmp_path: Path) -> None:
    names = []
    for name, content in (("b", "second "), ("a", "first ")):
        (tmp_path / name).write_text(content)
        names.append(str(tmp_path / name))
    assert read_text(TextSource(files=tuple(names))).content == "second first "
    assert read_text(TextSource(files=tuple(names[::-1]))).content == "first second "


def test_byte_order_mark_and_crlf_are_read_as_nothing_and_lf_and_said(file: Path) -> None:
    text = text_in(file, b"\xef\xbb\xbfa\r\nb\rc\n\r\n")
    assert text.content == "a\nb\rc\n\n"
    assert text.notes == (f"{file}: byte-order mark removed, 2 CRLF line ends read as LF",)
    assert text_in(file, b"a\nb").notes == ()


def test_byte_order_mark_of_every_file_is_removed_and_one_inside_is_kept(tmp_path: Path) -> None:
    names = []
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"\ufeff{name}\ufeff!", encoding="utf-8")
        names.append(str(tmp_path / name))
    assert read_text(TextSource(files=tuple(names))).content == "a\ufeff!b\ufeff!"


def test_file_with_a_byte_order_mark_alone_is_empty(file: Path) -> None:
    with refused(MalformedError, str(file), "empty"):
        text_in(file, b"\xef\xbb\xbf")


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=100))
def test_text_of_any_script_is_read_as_it_is(content: str) -> None:
    content = "a" + content.replace("\r\n", "\n").replace("\r\n", "\n")
    with TemporaryDirectory() as folder:
        assert text_in(Path(folder, "any.txt"), content.encode()).content == content


def test_lowercase_is_that_of_every_script(file: Path) -> None:
    file.write_text("ÀGORA ΟΔΟΣ ЖУК שלום e\u0301 🦊", encoding="utf-8")
    text = read_text(TextSource(files=(str(file),), lowercase=True))
    assert text.content == "àgora οδος жук שלום e\u0301 🦊"


@pytest.mark.parametrize(
    ("alphabet", "kept"),
    [
        ("a-z", "elloorld"),
        ("a-zA-Z", "HelloWorld"),
        ("lo ", "llo ol "),
        ("A-Z-", "HW-"),
        ("-é", "-é"),
        ("🦊é", "é🦊"),
        ("!-,", ",!"),
    ],
)
def test_alphabet_keeps_its_characters_and_ranges(file: Path, alphabet: str, kept: str) -> None:
    content = "Hello, World-é 🦊!" * 5
    file.write_text(content, encoding="utf-8")
    text = read_text(TextSource(files=(str(file),), alphabet=alphabet))
    assert text.content == kept * 5
    left_out = f"{len(content) - len(kept * 5)} of {len(content)} characters left out"
    assert text.notes == (f"--alphabet {alphabet}: {left_out}",)


def test_classic_alphabet_has_twenty_six_letters() -> None:
    text = read_text(TextSource(lowercase=True, alphabet="a-z"))
    assert text.vocabulary == "abcdefghijklmnopqrstuvwxyz"
    assert set(text.content) == set(text.vocabulary)


def test_alphabet_that_runs_backwards_is_refused_with_the_right_one(file: Path) -> None:
    file.write_text("text")
    with refused(UsageError, "--alphabet z-a", "write a-z"):
        read_text(TextSource(files=(str(file),), alphabet="z-a"))


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from("abcd"), min_size=10, max_size=60), st.integers(1, 10))
def test_rare_characters_are_not_in_the_vocabulary(content: str, min_count: int) -> None:
    text = Text(content, min_count)
    assert all(text.train.count(c) >= min_count for c in text.vocabulary)
    assert all(text.train.count(c) < min_count for c in set(text.train) - set(text.vocabulary))


def test_rare_characters_are_counted_and_said(file: Path) -> None:
    file.write_text("aab" * 30 + "xyy" + "aab" * 5)
    text = read_text(TextSource(files=(str(file),), min_count=3))
    assert text.vocabulary == "ab"
    assert text.notes == ("--min-count 3: 2 rare characters are the unknown entry",)
    assert "xyy" in text.content


def test_options_that_leave_no_character_are_refused(file: Path) -> None:
    file.write_text("text")
    for options in ({"alphabet": "0-9"}, {"min_count": 100}):
        with refused(MalformedError, "leave no character"):
            read_text(TextSource.model_validate({"files": (str(file),), **options}))


def test_empty_text_is_refused(file: Path) -> None:
    with refused(MalformedError, str(file), "empty"):
        text_in(file, b"")


def test_empty_file_among_others_is_refused_by_name(tmp_path: Path) -> None:
    for name, data in (("full", b"text"), ("hollow", b"")):
        (tmp_path / name).write_bytes(data)
    with refused(MalformedError, str(tmp_path / "hollow"), "empty"):
        read_text(TextSource(files=(str(tmp_path / "full"), str(tmp_path / "hollow"))))


@pytest.mark.parametrize(
    ("data", "byte"),
    [(b"\xff", 0), (b"abc\x80", 3), ("é".encode() + b"\xc3", 2), (b"ab\xed\xa0\x80", 2)],
    ids=["never", "continuation", "cut off", "surrogate"],
)
def test_text_that_is_not_utf8_is_refused_with_the_byte(file: Path, data: bytes, byte: int) -> None:
    with refused(MalformedError, str(file), f"not UTF-8 at byte {byte};"):
        text_in(file, data)
