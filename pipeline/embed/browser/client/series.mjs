// The page of a series model: values come in one at a time, and the forecast moves on with them.

import { drawChart } from "./chart.mjs";
import { readCsv } from "./csv.mjs";
import { Feed } from "./feed.mjs";
import { layOut, onFile } from "./panel.mjs";
import { byId, plain } from "./tables.mjs";

const count = (number) => number.toLocaleString("en");
const show = (value) => Number(value.toPrecision(4)).toString().replace("-", "−");

/** Show the page of a series model, fed with `unseen` rows; `fail` puts an error on the page. */
export function openSeries(manifest, unseen, fail) {
  const { features, targets } = manifest.model;
  const columns = manifest.source.columns ?? [];
  const feed = new Feed(manifest);
  let names = [];
  let repeats = false; // unseen data goes on from its beginning; a file of the user ends
  let playing = false;
  let timer;
  let work = Promise.resolve();

  /** One job after the other, since the model has one state; then the forecast and the chart. */
  function queue(job) {
    const whole = async () => {
      await job();
      await feed.forecast(byId("horizon").valueAsNumber, byId("samples").valueAsNumber);
      draw();
    };
    work = work.then(whole).catch((error) => {
      play(false);
      fail(error);
    });
    return work;
  }

  /** The next value; after the last one the first again. */
  function next() {
    return queue(() => (feed.atEnd ? feed.open(feed.rows) : feed.read(1)));
  }

  function play(on) {
    playing = on;
    clearTimeout(timer);
    byId("play").textContent = playing ? "Pause" : "Play";
    if (playing) timer = setTimeout(tick, 1000 / byId("speed").valueAsNumber);
  }

  async function tick() {
    await next();
    if (playing) play(repeats || !feed.atEnd);
  }

  async function open(rows, name, header, again) {
    fail(null);
    play(false);
    repeats = again;
    const nameless = (index) => (targets === 1 ? "value" : `column ${index + 1}`);
    names = Array.from({ length: targets }, (_, index) => plain(header[index] || nameless(index)));
    byId("target").replaceChildren(...names.map((label) => new Option(label)));
    byId("series-source").textContent = `${plain(name)}, ${count(rows.length)} steps`;
    byId("held-out").hidden = again;
    await queue(() => feed.open(rows));
    play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  }

  async function openFile(file) {
    try {
      const { rows, header } = readCsv(await file.text(), file.name, features);
      await open(rows, file.name, header ?? columns, false);
    } catch (error) {
      fail(error);
    }
  }

  function draw() {
    const column = byId("target").selectedIndex;
    const values = feed.column(column);
    drawChart(byId("chart"), { ...values, title: names[column] });
    const { history, forecast, bands } = values;
    const far = forecast.length === 1 ? "the next step" : `${forecast.length} steps on`;
    const sure = bands ? `, 90 % from ${show(bands[0].at(-1))} to ${show(bands[3].at(-1))}` : "";
    const read = `Step ${count(feed.position)} of ${count(feed.rows.length)}`;
    const words = `${read}: ${show(history.at(-1))}; ${far}: ${show(forecast.at(-1))}${sure}`;
    byId("series-status").textContent = words;
    byId("chart").setAttribute("aria-label", `Chart of ${names[column]}. ${words}`);
  }

  function pauseAnd(act) {
    return () => {
      play(false);
      act();
    };
  }

  const redraw = () => feed.ready && draw();
  const openUnseen = () => open(unseen, "Unseen data", columns, true);
  byId("play").addEventListener("click", () => play(!playing));
  byId("step").addEventListener("click", pauseAnd(next));
  byId("end").addEventListener(
    "click",
    pauseAnd(() => queue(() => feed.read(feed.rows.length))),
  );
  byId("held-out").addEventListener("click", openUnseen);
  byId("target").addEventListener("change", redraw);
  for (const id of ["horizon", "samples"]) {
    byId(id).addEventListener("input", () => playing || queue(() => {}));
  }
  onFile(byId("drop"), openFile);
  new ResizeObserver(redraw).observe(byId("chart"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  layOut(manifest);
  return openUnseen();
}
