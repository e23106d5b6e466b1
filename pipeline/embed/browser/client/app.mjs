// Starts the page: the model in its worker, the replay of its golden trajectories, then its page.

import { showFacts } from "./facts.mjs";
import { call } from "./model.mjs";
import { showParity } from "./parity.mjs";
import { openSeries } from "./series.mjs";
import { openStream } from "./stream.mjs";
import { plain } from "./tables.mjs";
import { openText } from "./text.mjs";

/** One line on the page; null takes it away. */
function fail(error) {
  const line = document.getElementById("error");
  line.hidden = error === null;
  line.textContent = error === null ? "" : plain(`Error: ${error.message}`);
}

async function start() {
  const { manifest, tolerance, unseen, sizes, version } = await call("load");
  showFacts(manifest, sizes);
  const line = await call("measure");
  showParity(JSON.parse(line), tolerance);
  document.getElementById("replay").textContent = line; // for programs that open this page
  const open = { text: openText, series: openSeries }[manifest.task] ?? openStream;
  await open(manifest, unseen, fail);
  // Another manifest is another address of the service worker, which then keeps that model. A
  // browser that allows none shows the page all the same, as long as there is a network.
  navigator.serviceWorker?.register(`service-worker.js?model=${version}`).catch(() => {});
}

start().catch((error) => {
  fail(error);
  document.getElementById("summary").textContent = "This model cannot be shown.";
  const { message, code = 3 } = error;
  document.getElementById("replay").textContent ||= JSON.stringify({ error: message, code });
});
