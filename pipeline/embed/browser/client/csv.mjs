// Reads a series from CSV: one step a line, one column for each feature, a header if there is one.

/**
 * The rows of numbers, `least` of them or more, and the names in the header; the first line that is
 * wrong is named.
 */
export function readCsv(text, file, features, least = 2) {
  const rows = [];
  let header = null;
  for (const [index, line] of text
    .replace(/^\ufeff/, "")
    .split(/\r\n|\r|\n/)
    .entries()) {
    if (line.trim() === "") continue;
    const cells = line.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
    const where = `line ${index + 1} of ${file}`;
    if (cells.length !== features) {
      const reads = `the model reads ${count(features)}, separated by commas`;
      throw new Error(`${where} has ${count(cells.length)}; ${reads}`);
    }
    const wrong = cells.findIndex((cell) => cell === "" || !Number.isFinite(Math.fround(cell)));
    if (wrong < 0) rows.push(cells.map(Number));
    else if (header === null && rows.length === 0) header = cells;
    else throw new Error(`${where} has "${cells[wrong].slice(0, 40)}" in place of a number`);
  }
  if (rows.length < least) {
    const few = least === 1 ? "no line" : "fewer than two lines";
    throw new Error(`${file} has ${few} of numbers; add some`);
  }
  return { rows, header };
}

function count(columns) {
  return columns === 1 ? "1 column" : `${columns} columns`;
}
