// Lists and tables of facts; all of a manifest goes into the page as text, never as markup.

export const byId = (id) => document.getElementById(id);

function element(kind, ...content) {
  const made = document.createElement(kind);
  made.append(...content);
  return made;
}

/** Fill a `dl` with pairs of a name and a value; what is null or undefined is left out. */
export function fillList(id, pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined);
  const boxes = known.map(([name, value]) =>
    element("div", element("dt", name), element("dd", String(value))),
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
