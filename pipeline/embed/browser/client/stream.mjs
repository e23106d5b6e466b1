// The page of a module: steps come in by hand or from a file, and its outputs come out as CSV.

import { contractOf, streamOf } from "./contract.mjs";
import { readSeries } from "./csv.mjs";
import { call } from "./model.mjs";
import { onFile } from "./panel.mjs";
import { byId, plain, tell } from "./tables.mjs";

const KEPT = 1000; // lines that stay on the page

/** Show the page of a module. */
export async function openStream(manifest) {
  const contract = contractOf(manifest);
  const { name, type, shape, refusal } = streamOf(contract);
  byId("stream").hidden = false;
  if (refusal) {
    byId("stream-limit").textContent = `It ${refusal}, so it cannot be fed here.`;
    byId("stream-limit").hidden = false;
    byId("stream-fed").hidden = true;
    return;
  }
  const count = shape.reduce((product, size) => product * size, 1);
  byId("stream-hint").textContent =
    `${count} of ${type} for ${name} [${shape}], with commas; then come ${contract.outputs.join(", ")}`;
  let lines = [];
  let steps = 0;

  function show() {
    byId("stream-status").textContent = `${steps.toLocaleString("en")} steps`;
    byId("streamed").textContent = lines.join("\n");
    byId("streamed").scrollTop = byId("streamed").scrollHeight;
  }

  /** Do what may fail, which a line beside it then says. */
  async function attempt(act) {
    try {
      tell("stream-error", null);
      await act();
    } catch (error) {
      tell("stream-error", error);
    }
    show();
  }

  async function feed(text, source) {
    const { rows } = readSeries(text, source, { features: count, least: 1 });
    const outputs = await call("feed", rows);
    steps += outputs.length;
    const words = outputs.map((row) => row.map((one) => Number(one.toPrecision(9))).join(","));
    lines = [...lines, ...words].slice(-KEPT);
  }

  async function restart() {
    await call("restart");
    [lines, steps] = [[], 0];
  }

  byId("stream-form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(() => feed(byId("step-values").value, "the step"));
  });
  byId("restart").addEventListener("click", () => attempt(restart));
  onFile(byId("stream-drop"), (file) =>
    attempt(async () => feed(await file.text(), plain(file.name))),
  );
  await attempt(restart);
}
