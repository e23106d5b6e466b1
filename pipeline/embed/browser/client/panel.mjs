// The controls of a series: which of them a model has, and files from outside.

import { byId } from "./tables.mjs";

/** What of the page a model of this kind has, and one line on what it cannot do. */
export function layOut({ model, loop, spread, window: steps }) {
  const { features, targets } = model;
  const limits = [
    [
      !model.bidirectional,
      `It reads the last ${steps} steps as a whole: one step ahead, no further.`,
    ],
    [
      loop || model.bidirectional,
      `It reads ${features} columns and forecasts ${targets}: one step ahead, no further.`,
    ],
    [spread, "The spread of its errors is not known, so the forecast has no bands."],
  ];
  const limit = limits.find(([possible]) => !possible)?.[1] ?? "";
  byId("series").hidden = false;
  byId("series-limit").hidden = limit === "";
  byId("series-limit").textContent = limit;
  byId("target-label").hidden = targets === 1;
  const columns = features === 1 ? "one column" : `${features} columns`;
  byId("csv-hint").textContent =
    `CSV as train --series takes it: ${columns}, and dates if there are; or drop it here`;
  for (const one of document.querySelectorAll("#series .loop")) one.hidden = !loop;
  for (const one of document.querySelectorAll("#series .spread")) one.hidden ||= !spread;
  for (const one of document.querySelectorAll("#series input[type=range]")) {
    const output = document.querySelector(`output[for=${one.id}]`);
    const tell = () => {
      output.textContent = one.value;
    };
    one.addEventListener("input", tell);
    tell();
  }
}

/** Call `open` with a file that is chosen in the box `drop`, or dropped on its section. */
export function onFile(drop, open) {
  drop.querySelector("input[type=file]").addEventListener("change", ({ target }) => {
    if (target.files.length > 0) open(target.files[0]);
  });
  const section = drop.closest("section");
  for (const kind of ["dragover", "dragleave", "drop"]) {
    section.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      const [file] = kind === "drop" ? event.dataTransfer.files : [];
      if (file) open(file);
    });
  }
}
