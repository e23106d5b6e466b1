// The times of a series, in seconds since 1970 in UTC: read, checked for even steps, continued.

const DAY = 86_400;
const EVEN = 0.01; // of a step; times that were rounded are still even
const UNITS = { day: DAY, hour: 3600, minute: 60, second: 1 };
const CLOCK = "(?:[T ]+(\\d{1,2}):(\\d{2})(?::(\\d{2})(\\.\\d+)?)?)?\\s*([ap]m)?";
const ZONE = "\\s*(Z|UTC|[-+]\\d{2}:?\\d{2})?$";
const YEAR_FIRST = new RegExp(`^(\\d{4})[-/.](\\d{1,2})(?:[-/.](\\d{1,2}))?${CLOCK}${ZONE}`, "i");
const YEAR_LAST = new RegExp(`^(\\d{1,2})[-/.](\\d{1,2})[-/.](\\d{4})${CLOCK}${ZONE}`, "i");
const COMPACT = /^([12]\d{3})([01]\d)([0-3]\d)$/;
const NUMBER = /^[-+]?\d+(\.\d+)?$/;

/** Whether a cell can be read as a date. */
export function isTime(cell) {
  return YEAR_FIRST.test(cell) || YEAR_LAST.test(cell);
}

/**
 * `lines` sorted by the times in their column `place`, and these `times`; null if they are bare
 * numbers and no dates. Throws an error that names the first line that does not fit.
 */
export function inTime(lines, place, file) {
  const cells = lines.map(({ cells }) => cells[place]);
  const areNumbers = !cells.every((cell) => COMPACT.test(cell)) && NUMBER.test(cells[0]);
  const dayFirst = cells.some((cell) => Number(YEAR_LAST.exec(cell)?.[1]) > 12);
  const read = (cell) => (areNumbers ? bare(cell) : seconds(cell, dayFirst));
  const times = cells.map(read);
  const bad = times.findIndex(Number.isNaN);
  if (bad >= 0) {
    const what = cells[bad] === "" ? "no time" : `"${cells[bad].slice(0, 40)}" for a time`;
    const remedy = "write it as 2026-01-31 or 2026-01-31 18:00";
    throw new Error(`line ${lines[bad].line} of ${file} has ${what}; ${remedy}`);
  }
  const order = [...times.keys()].sort((one, other) => times[one] - times[other]);
  const [sorted, kept] = [order.map((at) => times[at]), order.map((at) => lines[at])];
  requireEven(sorted, kept, areNumbers, file);
  return { lines: kept, times: areNumbers ? null : sorted };
}

const bare = (cell) => (NUMBER.test(cell) ? Number(cell) : Number.NaN);

/** One cell in seconds, or NaN. A time without a zone is taken for UTC. */
function seconds(cell, dayFirst) {
  const compact = COMPACT.exec(cell);
  if (compact) return moment(compact.slice(1), []);
  const first = YEAR_FIRST.exec(cell);
  if (first) return moment([first[1], first[2], first[3] ?? 1], first.slice(4));
  const last = YEAR_LAST.exec(cell);
  if (!last) return Number.NaN;
  const [month, day] = dayFirst ? [last[2], last[1]] : [last[1], last[2]];
  return moment([last[3], month, day], last.slice(4));
}

function moment(date, [hours = 0, minutes = 0, whole = 0, part = 0, half, zone]) {
  const [year, month, day] = date.map(Number);
  const noon = half?.toLowerCase();
  const hour = noon ? (Number(hours) % 12) + (noon === "pm" ? 12 : 0) : Number(hours);
  const midnight = Date.UTC(year, month - 1, day);
  const isReal = new Date(midnight).getUTCDate() === day && month >= 1 && month <= 12 && hour < 24;
  if (!isReal || minutes > 59 || whole > 59) return Number.NaN;
  const [, sign, ahead = 0, more = 0] = /^([-+])(\d{2}):?(\d{2})$/.exec(zone ?? "") ?? [];
  const offset = (sign === "-" ? -1 : 1) * (3600 * ahead + 60 * more);
  return midnight / 1000 + 3600 * hour + 60 * minutes + Number(whole) + Number(part) - offset;
}

/** Refuse the first line that is not one step after the line before it. */
function requireEven(times, lines, areNumbers, file) {
  if (times.length < 2) return;
  const { size, unit, between } = areNumbers ? passed(times) : clockOf(times);
  for (let at = 1; at < times.length; at += 1) {
    if (times[at] === times[at - 1]) {
      const where = `line ${lines[at].line} of ${file} has the time of line ${lines[at - 1].line}`;
      throw new Error(`${where}; remove one of the two`);
    }
    const gap = between(times[at - 1], times[at]) / size;
    if (Math.abs(gap - 1) <= EVEN) continue;
    const [line, before] = [lines[at].line, lines[at - 1].line];
    const step = areNumbers ? size : counted(size, unit);
    const far = `${Number(gap.toPrecision(4))} steps after line ${before}, where a step is ${step}`;
    throw new Error(
      `line ${line} of ${file} is ${far}; add the lines between, or correct its time`,
    );
  }
}

const counted = (size, unit) => `${Number(size.toPrecision(6))} ${unit}${size === 1 ? "" : "s"}`;

/** Steps of numbers: the middle one of all differences. */
function passed(times) {
  const between = (one, next) => next - one;
  return { size: middle(times, between), between };
}

function middle(times, between) {
  const gaps = times.slice(1).map((time, index) => between(times[index], time));
  return gaps.sort((one, other) => one - other)[Math.floor((gaps.length - 1) / 2)];
}

/**
 * How time goes on: its step of `size` units, the units `between` two times, and what is a number of
 * steps `after` a time. Months and business days are counted in the calendar.
 */
function clockOf(times) {
  const elapsed = passed(times).size;
  const dates = times.map((time) => new Date(1000 * time));
  const sameHour = times.every((time) => (time - times[0]) % DAY === 0);
  const areEnds = times.every((time) => new Date(1000 * (time + DAY)).getUTCDate() === 1);
  const sameDay = dates.every((date) => date.getUTCDate() === dates[0].getUTCDate());
  if (sameHour && elapsed >= 28 * DAY && (sameDay || areEnds)) {
    const months = (time) => {
      const date = new Date(1000 * time);
      return 12 * date.getUTCFullYear() + date.getUTCMonth();
    };
    const between = (one, next) => months(next) - months(one);
    const size = middle(times, between);
    const after = (time, steps) => inMonths(time, size * steps, areEnds);
    return { size, unit: "month", between, after };
  }
  const onWeekdays = dates.every((date) => date.getUTCDay() % 6 !== 0);
  if (sameHour && elapsed === DAY && times.length > 7 && onWeekdays) {
    return { size: 1, unit: "business day", between: businessDays, after: inBusinessDays };
  }
  const [unit, length] = Object.entries(UNITS).find(([, one]) => elapsed >= one) ?? ["second", 1];
  const between = (one, next) => (next - one) / length;
  const after = (time, steps) => time + steps * elapsed;
  return { size: elapsed / length, unit, between, after };
}

function inMonths(time, months, areEnds) {
  const date = new Date(1000 * time);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth() + months];
  const last = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const day = areEnds ? last : Math.min(date.getUTCDate(), last);
  return Date.UTC(year, month, day) / 1000 + (time % DAY);
}

/** Days from Monday to Friday between two of them. */
function businessDays(one, next) {
  const since = (time) => {
    const monday = Math.floor(time / DAY) + 3; // days since a Monday; 1970 began on a Thursday
    return 5 * Math.floor(monday / 7) + (monday % 7);
  };
  return since(next) - since(one);
}

function inBusinessDays(time, steps) {
  const weekday = (Math.floor(time / DAY) + 3) % 7;
  return time + DAY * (steps + 2 * Math.floor((weekday + steps) / 5));
}

/** `times`, and the next `count` after them. */
export function continued(times, count) {
  if (times.length < 2) return times;
  const { after } = clockOf(times);
  return [...times, ...Array.from({ length: count }, (_, at) => after(times.at(-1), at + 1))];
}

/** A time for people: with its time of day, unless all of the series are at midnight. */
export function shown(time, withClock) {
  const text = new Date(1000 * time).toISOString();
  return withClock ? text.slice(0, 16).replace("T", " ") : text.slice(0, 10);
}

/** Labels of an axis whose lines are `step` seconds apart; a second line says what changes. */
export function timeLabels(times, step) {
  const part = (time, options) =>
    new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options }).format(1000 * time);
  const day = { day: "numeric", month: "short" };
  const [near, far] = [
    [365 * DAY, { year: "numeric" }, null],
    [28 * DAY, { month: "short" }, { year: "numeric" }],
    [DAY, day, { year: "numeric" }],
    [0, { hour: "2-digit", minute: "2-digit" }, day],
  ]
    .find(([least]) => step >= least)
    .slice(1);
  return times.map((time, index) => {
    const around = far && part(time, far);
    const isNew = far && (index === 0 || around !== part(times[index - 1], far));
    return isNew ? `${part(time, near)}\n${around}` : part(time, near);
  });
}
