"""The times of a series: they are sorted and checked for even steps, and can be continued."""

import re
import warnings
from dataclasses import dataclass, replace
from datetime import MAXYEAR, timezone, tzinfo
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.api import guess_datetime_format

from pipeline.data.tables import is_missing, is_number, numbers, place, quoted
from pipeline.errors import MalformedError, UsageError

_EVEN = 0.01  # of a step; times that were rounded are still even
_COMPACT = r"[12]\d{3}[01]\d[0-3]\d"  # a date as 20260131
_OFFSET = r".*\d:\d\d.*?(Z|[+-]\d\d:?(?:\d\d)?)"  # at the end of a time of day
_HALF_OF_DAY = re.compile(r"(.*\d)(\s?)[ap]m", re.IGNORECASE)
_MINUTE, _DAY = 60.0, 86_400.0
_UNITS = ((_DAY, "day"), (3600.0, "hour"), (_MINUTE, "minute"), (1.0, "second"))
_RESAMPLE = "average onto even steps with --resample, for example --resample D"
_FILL = "fill them in with --fill previous or --fill linear"


@dataclass(frozen=True)
class Clock:
    """The step of a series, and the ``gaps`` ``[rows - 1]`` between its rows in steps.

    ``season`` is the usual period of such data in steps: a day of hours, a week of days, a year of
    months; 1 if there is none. ``offset`` is the difference of two consecutive times: a calendar
    offset, a duration, or a number.
    """

    gaps: NDArray[np.float64]
    step: str
    season: int
    offset: Any


@dataclass(frozen=True)
class Times:
    """The sorted times of the rows: numbers, or dates of the time ``zone`` without that zone.

    ``dtype`` is the type of the column that they were read from; text with offsets from UTC counts
    as a column of times with a zone.
    """

    index: pd.Index
    zone: tzinfo
    dtype: Any
    clock: Clock | None = None

    def following(self, steps: int) -> pd.Index:
        """The next ``steps`` times, with the type and time zone of the column.

        There must be a clock, which needs at least two rows.

        Raises:
            UsageError: they are later than the year 9999.
        """
        assert self.clock is not None
        last, offset = self.index[-1], self.clock.offset
        try:
            ahead = [last + count * offset for count in range(1, steps + 1)]
            if isinstance(last, pd.Timestamp) and ahead and ahead[-1].year > MAXYEAR:
                raise OverflowError  # pandas can count on, but no text has such dates
        except (OverflowError, ValueError) as error:
            raise UsageError(
                f"{steps} steps of {self.clock.step} after {last} leave the calendar; give fewer"
            ) from error
        index = pd.Index(ahead, dtype=self.index.dtype)
        if not isinstance(index, pd.DatetimeIndex):
            is_whole = pd.api.types.is_integer_dtype(self.dtype) and (index % 1 == 0).all()
            return index.astype(self.dtype) if is_whole else index
        if not isinstance(self.dtype, pd.DatetimeTZDtype):
            return index
        first = np.ones(steps, bool)  # of an hour that comes twice
        there = index.tz_localize(self.zone, ambiguous=first, nonexistent="shift_forward")
        return there.tz_convert(self.dtype.tz)


def time_texts(times: pd.Index) -> list[str]:
    """``times`` as texts, all of them as short as dates, times of day and numbers can be."""
    if not isinstance(times, pd.DatetimeIndex):
        return [str(time) if isinstance(time, int) else f"{time:.15g}" for time in times.to_list()]
    detail = "auto"
    if (times.microsecond == 0).all() and (times.second == 0).all():
        detail = "minutes"
    if times.tz is None and (times == times.normalize()).all():
        return [time.date().isoformat() for time in times]
    return [time.isoformat(sep=" ", timespec=detail) for time in times]


def are_times(cells: list[Any]) -> bool:
    """Whether all of ``cells`` can be read as dates."""
    return not any(map(is_number, cells)) and not _dates(cells).hasnans


def in_time(
    values: pd.DataFrame, column: pd.Series, resample: str | None, fill: bool, path: Path
) -> tuple[pd.DataFrame, Times, list[str]]:
    """The rows of ``values`` in the order of ``column`` at even steps, their times, and notes.

    The times have a clock where there are two rows at least. With ``resample`` rows are averaged
    onto steps of that length. With ``fill`` a step without a row becomes a row of NaN.

    Raises:
        UsageError: ``resample`` is no length of time, or the times are bare numbers.
        MalformedError: a cell is no time, a time stands twice, or steps are uneven; the first
            such row is named.
    """
    (times, zone, dtype), notes = _times(column, path), []
    order = np.argsort(times.to_numpy(), kind="stable")
    if (np.diff(order) < 0).any():
        notes.append("rows sorted by time")
        values, times = values.iloc[order], times[order]
    if resample:
        values = _averaged(values, times, resample, path)
        times = values.index
        notes.append(f"averaged onto steps of {resample}")
    found = Times(times, zone, dtype)
    if len(values) < 2:
        return values, found, notes
    rows = values.index
    for twin in np.flatnonzero(times[1:] == times[:-1])[:1]:
        raise MalformedError(
            f"{path}, {place(rows[twin + 1])}: the time {quoted(column[rows[twin + 1]])} stands in "
            f"{place(rows[twin])} already; remove one of the two, or {_RESAMPLE}"
        )
    clock = _clock(times)
    steps = np.rint(clock.gaps)

    def refuse(first: int, remedy: str) -> NoReturn:
        raise MalformedError(
            f"{path}, {place(rows[first + 1])}: {clock.gaps[first]:.6g} steps after "
            f"{place(rows[first])}, where a step is {clock.step}; {remedy}"
        )

    uneven = np.flatnonzero((np.abs(clock.gaps - steps) > _EVEN) | (steps < 1))
    if uneven.size:
        refuse(int(uneven[0]), _RESAMPLE)
    if steps.sum() > 2 * len(values):  # a wrong date, rather than rows that are missing
        refuse(int(steps.argmax()), f"correct the time, or {_RESAMPLE}")
    if steps.max() > 1:
        if not fill:
            refuse(int((steps > 1).argmax()), _FILL)
        at = np.concatenate([[0], steps.cumsum()]).astype(np.int64)
        every = np.arange(at[-1] + 1)
        # A row that was inserted has the label of the row before it.
        names = rows[np.searchsorted(at, every, side="right") - 1]
        values = values.set_axis(at).reindex(every).set_axis(names)
        notes.append(f"{len(every) - len(at)} missing steps of {clock.step} put in")
    return values, replace(found, clock=clock), notes


def _dates(cells: Any) -> pd.DatetimeIndex:
    """Cells as times in UTC without a zone, NaT where one is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about formats it must guess; what it cannot read is NaT
        column = pd.Series(cells)
        form = _twelve_hours(str(column.iloc[0])) if len(column) else None
        times = pd.to_datetime(column, format=form, errors="coerce", utc=True)
        if times.isna().any():  # dates and times of day may stand in one column
            mixed = pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True)
            times = mixed if mixed.isna().sum() < times.isna().sum() else times
    return pd.DatetimeIndex(times).tz_localize(None).as_unit("us")


def _twelve_hours(cell: str) -> str | None:
    """The format of a time with AM or PM: pandas guesses none, and reads each cell for itself."""
    found = _HALF_OF_DAY.fullmatch(cell)
    form = guess_datetime_format(found[1]) if found else None
    return f"{form.replace('%H', '%I')}{found[2]}%p" if found and form else None


def _times(column: pd.Series, path: Path) -> tuple[pd.Index, tzinfo, Any]:
    """Dates, their zone and their type; or numbers where all cells are such, but not as 20260131.

    Where all rows are at one time of day in the zone of the column, days and months count as they
    do there; else the zone is UTC, which has no hour twice.
    """
    cells = column
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        there = pd.DatetimeIndex(column).tz_localize(None).as_unit("us")
        if not there.hasnans and (there - there.normalize()).nunique() == 1:
            return there, column.dtype.tz, column.dtype
    if not pd.api.types.is_datetime64_any_dtype(column):
        cells = column.astype(str).str.strip()
        if len(cells) and is_number(cells.iloc[0]) and not cells.str.fullmatch(_COMPACT).all():
            _refuse_missing(column, path)
            if all(map(is_number, cells.to_list())):
                return pd.Index(numbers(column, path)), timezone.utc, column.dtype
    times = _dates(cells)
    for bad in np.flatnonzero(times.isna())[:1]:
        _refuse_missing(column, path)
        raise MalformedError(
            f"{path}, {place(column.index[bad])}, column '{column.name}': "
            f"{quoted(column.iloc[bad])} is not a time like those above it; write it as 2026-01-31 "
            "or 2026-01-31 18:00"
        )
    offsets = None if cells is column else _offsets(cells)
    if offsets is None:
        return times, timezone.utc, column.dtype
    zone = offsets.pop() if len(offsets) == 1 else timezone.utc  # summer and winter have two
    there = times.tz_localize("UTC").tz_convert(zone)
    return there.tz_localize(None), zone, there.dtype


def _offsets(cells: pd.Series) -> set[tzinfo] | None:
    """The offsets from UTC that the texts of times end with; None where one has none."""
    ends = cells.str.extract(f"^{_OFFSET}$", expand=False)
    if not len(ends) or ends.isna().any():
        return None
    return {pd.Timestamp(f"2000-01-01T00:00{end}").tzinfo for end in ends.unique()}


def _refuse_missing(column: pd.Series, path: Path) -> None:
    for missing in np.flatnonzero(list(map(is_missing, column.to_list())))[:1]:
        raise MalformedError(
            f"{path}, {place(column.index[missing])}, column '{column.name}': the time is missing; "
            "remove the row"
        )


def _averaged(values: pd.DataFrame, times: pd.Index, step: str, path: Path) -> pd.DataFrame:
    if not isinstance(times, pd.DatetimeIndex):
        raise UsageError(f"--resample needs dates, and the times of {path} are numbers")
    try:
        return values.set_axis(times).resample(step).mean()
    except ValueError as error:
        raise UsageError(
            f"--resample '{step}' is no frequency of pandas; try h, D, B, W or MS"
        ) from error


def _clock(times: pd.Index) -> Clock:
    """Gaps in calendar months or business days where the times are such, else in time passed."""
    if not isinstance(times, pd.DatetimeIndex):
        gaps, step = _in_steps(np.diff(times.to_numpy()))
        return Clock(gaps, f"{step:g}", 1, step)
    seconds, step = _in_steps(np.diff(times.asi8) / 1e6)
    same_hour = len(set(times.hour * 60 + times.minute)) == 1
    at_ends = bool(times.is_month_end.all())
    if same_hour and step >= 28 * _DAY and (len(set(times.day)) == 1 or at_ends):
        gaps, months = _in_steps(np.diff(times.year * 12 + times.month))
        count = int(months)
        offset = pd.offsets.MonthEnd(count) if at_ends else pd.DateOffset(months=count)
        season = round(12 / months) if months <= 12 else 1
        return Clock(gaps, _counted(months, "month"), season, offset)
    if same_hour and step == _DAY and len(times) > 7 and (times.day_of_week < 5).all():
        days = times.to_numpy().astype("datetime64[D]")
        gaps = np.busday_count(days[:-1], days[1:]).astype(np.float64)
        return Clock(gaps, "1 business day", 5, pd.offsets.BDay())
    unit, name = next((pair for pair in _UNITS if step >= pair[0]), _UNITS[-1])
    usual = {_DAY: 7, 7 * _DAY: 52}.get(step, 1)
    if _MINUTE <= step < _DAY and _DAY % step == 0:
        usual = round(_DAY / step)
    passed = pd.Timedelta(round(step * 1e6), unit="us")
    # An average onto steps of the calendar knows them, however few rows there are.
    return Clock(seconds, _counted(step / unit, name), usual, times.freq or passed)


def _in_steps(gaps: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """``gaps`` in units of the step, which is the middle one of them, and the step."""
    step = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    return gaps / step, step


def _counted(count: float, unit: str) -> str:
    return f"{count:g} {unit}" if count == 1 else f"{count:g} {unit}s"
