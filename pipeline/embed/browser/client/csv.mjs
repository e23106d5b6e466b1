// Reads a series from CSV as `pipeline train --series` does: dates, quotes, semicolons, names.

import { libraries } from "./libraries.mjs";
import { inTime, isTime } from "./times.mjs";

const TIMES = ["ds", "date", "datetime", "time", "timestamp"];
const ID = "unique_id"; // of a series in a file of several
const TARGET = "y";
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const DECIMAL_COMMA = /^([-+]?\d*),(\d+(e[-+]?\d+)?)$/i;
const MISSING = ["", "na", "n/a", "nan", "nat", "null", "none", "<na>"];

/**
 * The series in `text`: `rows` of numbers, `least` of them or more, one column for each feature;
 * the `names` of these columns, if the file has names; and its `times` in seconds, or null.
 *
 * Throws an error that names the first line that is wrong, and says what to do.
 */
export function readSeries(text, file, { features, columns = [], least = 2 }) {
  const lines = parse(text, file);
  const head = lines[0]?.cells ?? [];
  const hasNames = !head.some((cell) => isNumber(cell) || isTime(cell));
  const names = hasNames ? head : null;
  const body = hasNames ? lines.slice(1) : lines;
  const ragged = body.find(({ cells }) => cells.length !== head.length);
  if (ragged) {
    const [found, wanted] = [count(ragged.cells.length), count(head.length)];
    const remedy = `where line ${lines[0].line} has ${wanted}; give all lines the same`;
    throw new Error(`line ${ragged.line} of ${file} has ${found}, ${remedy}`);
  }
  const time = timeColumn(names, body);
  requireOneSeries(names, body, file);
  const chosen = body.length ? choose(head, names, time, { features, columns, file }) : [];
  if (body.length < least) {
    const few = least === 1 ? "no line" : "fewer than two lines";
    throw new Error(`${file} has ${few} of numbers; add some`);
  }
  const { lines: sorted, times } =
    time < 0 ? { lines: body, times: null } : inTime(body, time, file);
  const read = ({ line, cells }) =>
    chosen.map((place) => number(cells[place], names?.[place], `line ${line} of ${file}`));
  return {
    rows: sorted.map(read),
    names: names && chosen.map((place) => names[place]),
    times,
  };
}

/** Lines with cells, each with its number in the file; of commas, semicolons or tabs. */
function parse(text, file) {
  const clean = text.replace(/^\ufeff/, "");
  const first = clean.split(/\r\n|\r|\n/).find((line) => line.trim() !== "") ?? "";
  const often = (mark) => first.split(mark).length;
  const delimiter = [",", ";", "\t"].reduce((best, one) => (often(one) > often(best) ? one : best));
  const { data, errors } = libraries().Papa.parse(clean, { delimiter });
  const lines = [];
  let line = 1;
  for (const [row, raw] of data.entries()) {
    const wrong = errors.find((error) => error.row === row && error.type === "Quotes");
    if (wrong) throw new Error(`line ${line} of ${file} has a quote that is not closed; close it`);
    const cells = raw.map((cell) => cell.trim());
    const decimal = (cell) => (delimiter === ";" ? cell.replace(DECIMAL_COMMA, "$1.$2") : cell);
    if (raw.length > 1 || cells[0] !== "") lines.push({ line, cells: cells.map(decimal) });
    line += raw.join("").split(/\r\n|\r|\n/).length; // a quoted cell may have several
  }
  return lines;
}

/** The place of the column that has a usual name, or is the first and begins with dates; or -1. */
function timeColumn(names, body) {
  const named = names?.findIndex((name) => TIMES.includes(name.toLowerCase())) ?? -1;
  if (named >= 0 || body.length === 0 || body[0].cells.length < 2) return named;
  return body.slice(0, 3).every(({ cells }) => isTime(cells[0])) ? 0 : -1;
}

function requireOneSeries(names, body, file) {
  const place = names?.indexOf(ID) ?? -1;
  const other = body.find(({ cells }) => cells[place] !== body[0].cells[place]);
  if (!other) return;
  const which = `line ${other.line} of ${file} begins another series, "${other.cells[place]}"`;
  throw new Error(`${which}; keep the lines of one`);
}

/** The places of the columns that the model reads: by their names, or else in their order. */
function choose(head, names, time, { features, columns, file }) {
  const wanted = columns.map((name) => names?.indexOf(name) ?? -1);
  if (wanted.length === features && wanted.every((place) => place >= 0)) return wanted;
  const isValue = (place) => place !== time && names?.[place] !== ID;
  const values = head.map((_, place) => place).filter(isValue);
  if (values.length === features) return values;
  const target = names?.indexOf(TARGET) ?? -1;
  if (features === 1 && target >= 0) return [target];
  const listed = columns.length ? ` (${columns.join(", ")})` : "";
  const besides = time < 0 ? "" : " beside its times";
  const reads = `the model reads ${count(features)}${listed}; keep those`;
  throw new Error(`${file} has ${count(values.length)}${besides}; ${reads}`);
}

const isNumber = (cell) => NUMBER.test(cell);

function number(cell, name, where) {
  const value = Number(cell);
  if (isNumber(cell) && Number.isFinite(Math.fround(value))) return value;
  const column = name ? ` in column "${short(name)}"` : "";
  if (MISSING.includes(cell.toLowerCase())) {
    throw new Error(`${where} has no value${column}; fill it in, or remove the line`);
  }
  const what = isNumber(cell) ? "which is too large" : "which is no number";
  throw new Error(`${where} has "${short(cell)}"${column}, ${what}; correct it`);
}

const short = (cell) => (cell.length > 40 ? `${cell.slice(0, 40)}…` : cell);

function count(columns) {
  return columns === 1 ? "1 column" : `${columns} columns`;
}
