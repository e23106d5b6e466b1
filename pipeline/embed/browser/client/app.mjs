// Starts the page: its first text or forecast, then the replay of the golden trajectories.

import { showFacts, showFiles } from "./facts.mjs";
import { call } from "./model.mjs";
import { showParity } from "./parity.mjs";
import { openSeries } from "./series.mjs";
import { openStream } from "./stream.mjs";
import { byId, tell } from "./tables.mjs";
import { openText } from "./text.mjs";

const fail = (error) => tell("error", error);

async function start() {
  const { manifest, tolerance, unseen, version } = await call("open");
  showFacts(manifest);
  const started = call("start");
  const open = { text: openText, series: openSeries }[manifest.task] ?? openStream;
  const opened = open(manifest, unseen, fail);
  const [sizes] = await Promise.all([started, opened]);
  showFiles(sizes);
  const line = await call("measure");
  showParity(JSON.parse(line), tolerance);
  byId("replay").textContent = line; // for programs that open this page
  // Another manifest is another address of the service worker, which then keeps that model. A
  // browser that allows none shows the page all the same, as long as there is a network.
  navigator.serviceWorker?.register(`service-worker.js?model=${version}`).catch(() => {});
}

start().catch((error) => {
  fail(error);
  byId("summary").textContent = "This model cannot be shown.";
  byId("verdict").textContent = "";
  for (const id of ["series", "text", "stream"]) byId(id).hidden = true;
  const { message, code = 3 } = error;
  byId("replay").textContent ||= JSON.stringify({ error: message, code });
});
