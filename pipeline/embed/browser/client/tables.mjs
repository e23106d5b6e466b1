// Lists and tables of facts; all of a manifest goes into the page as text, never as markup.

export const byId = (id) => document.getElementById(id);

// Control characters, line ends, and marks that turn the direction of what follows.
const HIDDEN = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A name or a message, with what would be hidden in it as `\u202e`. */
export function plain(text) {
  return String(text).replace(
    HIDDEN,
    (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Put an error into the line `id`, which is beside what it is about; null takes it away. */
export function tell(id, error) {
  byId(id).hidden = error === null;
  byId(id).textContent = error === null ? "" : plain(`Error: ${error.message}`);
}

function element(kind, ...content) {
  const made = document.createElement(kind);
  made.append(...content.map((part) => (part instanceof Node ? part : plain(part))));
  return made;
}

/** Fill a `dl` with pairs of a name and a value; what is null or undefined is left out. */
export function fillList(id, pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined);
  const boxes = known.map(([name, value]) =>
    element("div", element("dt", name), element("dd", value)),
  );
  byId(id).replaceChildren(...boxes);
}

/** Fill a table with a line of heads and lines of cells, the first of which names its line. */
export function fillTable(id, head, lines) {
  const heads = head.map((words) => {
    const made = element(words === "" ? "td" : "th", words);
    if (words !== "") made.scope = "col";
    return made;
  });
  const rows = lines.map(([name, ...cells]) => {
    const first = element("th", name);
    first.scope = "row";
    return element("tr", first, ...cells.map((words) => element("td", words)));
  });
  byId(id).replaceChildren(element("thead", element("tr", ...heads)), element("tbody", ...rows));
}
