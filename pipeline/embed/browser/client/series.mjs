// The page of a series model: values come in one at a time, and the forecast moves on with them.

import { Chart, stepWords } from "./chart.mjs";
import { readSeries } from "./csv.mjs";
import { Feed, SHOWN } from "./feed.mjs";
import { layOut, onFile } from "./panel.mjs";
import { byId, plain, tell } from "./tables.mjs";
import { continued, shown } from "./times.mjs";

const ROOM = 12; // steps ahead that the chart has room for, at least
const count = (number) => number.toLocaleString("en");
const show = (value) => Number(value.toPrecision(4)).toString().replace("-", "−");

/** Show the page of a series model, fed with `unseen` rows; `fail` puts an error on the page. */
export function openSeries(manifest, unseen, fail) {
  const { features, targets } = manifest.model;
  const columns = manifest.source?.columns ?? [];
  const furthest = Number(byId("horizon").max);
  const feed = new Feed(manifest);
  const chart = new Chart(byId("chart"), () => play(false), point);
  let names = [];
  let times = null; // of every row and the steps after the last, in seconds
  let withClock = false;
  let data = null; // what the chart shows
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
    byId("series-status").setAttribute("aria-live", playing ? "off" : "polite");
    if (playing) timer = setTimeout(tick, 1000 / byId("speed").valueAsNumber);
  }

  async function tick() {
    await next();
    if (playing) play(repeats || !feed.atEnd);
  }

  async function open(series, name, again) {
    tell("series-error", null);
    play(false);
    repeats = again;
    times = series.times && continued(series.times, furthest);
    withClock = times?.some((time) => time % 86_400 !== 0) ?? false;
    const nameless = (index) => (targets === 1 ? "value" : `column ${index + 1}`);
    const given = series.names ?? columns;
    names = Array.from({ length: targets }, (_, index) => plain(given[index] || nameless(index)));
    byId("target").replaceChildren(...names.map((label) => new Option(label)));
    byId("series-source").textContent = `${plain(name)}, ${count(series.rows.length)} steps`;
    byId("held-out").hidden = again;
    feed.take(series.rows);
    chart.reset();
    drawChart(); // what is known is on the screen before the model has read it
    await queue(() => feed.open(series.rows));
    play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  }

  async function openFile(file) {
    try {
      const series = readSeries(await file.text(), plain(file.name), { features, columns });
      await open(series, file.name, false);
    } catch (error) {
      tell("series-error", error);
    }
  }

  const timeOf = (index) => (times ? ` (${shown(times[index], withClock)})` : "");

  function drawChart() {
    const steps = feed.ahead.forecast.length;
    const start = feed.position - feed.past.length;
    const room = Math.max(steps, feed.loop ? byId("horizon").valueAsNumber : ROOM);
    const at = (index) => times?.[Math.min(index, times.length - 1)] ?? index + 1;
    const x = Array.from({ length: feed.past.length + steps }, (_, index) => at(start + index));
    const view = [at(Math.max(start, feed.position - SHOWN)), at(feed.position - 1 + room)];
    const values = feed.column(byId("target").selectedIndex);
    data = { x, isTime: times !== null, withClock, now: at(feed.position - 1), view, ...values };
    chart.show(data);
  }

  function draw() {
    drawChart();
    const column = byId("target").selectedIndex;
    const { forecast, bands } = feed.ahead;
    const [steps, last] = [forecast.length, feed.position - 1];
    const far = steps === 1 ? "the next step" : `${steps} steps on`;
    const end = (rows) => show(rows.at(-1)[column]);
    const sure = bands ? `, 90 % from ${end(bands[0])} to ${end(bands[3])}` : "";
    const read = `Step ${count(feed.position)} of ${count(feed.rows.length)}${timeOf(last)}`;
    const value = show(feed.rows[last][column]);
    const words = `${read}: ${value}; ${far}${timeOf(last + steps)}: ${end(forecast)}${sure}`;
    byId("series-status").textContent = words;
    byId("chart").setAttribute("aria-label", `Chart of ${names[column]}. ${words}`);
    byId("chart-title").textContent = names[column];
  }

  /** Say what is at the step that is pointed at. */
  function point(index) {
    const isThere = index !== null && data !== null && index < data.x.length;
    byId("pointed").textContent = isThere ? stepWords(data, index, show) : "";
  }

  function pauseAnd(act) {
    return () => {
      play(false);
      act();
    };
  }

  const openUnseen = () => open({ rows: unseen, names: null, times: null }, "Unseen data", true);
  byId("play").addEventListener("click", () => {
    chart.reset();
    play(!playing);
  });
  byId("step").addEventListener("click", pauseAnd(next));
  byId("end").addEventListener(
    "click",
    pauseAnd(() => queue(() => feed.read(feed.rows.length))),
  );
  byId("held-out").addEventListener("click", openUnseen);
  byId("target").addEventListener("change", () => feed.ready && draw());
  byId("zoom-in").addEventListener("click", () => chart.zoom(0.5));
  byId("zoom-out").addEventListener("click", () => chart.zoom(2));
  byId("zoom-reset").addEventListener("click", () => chart.reset());
  for (const id of ["horizon", "samples"]) {
    byId(id).addEventListener("input", () => playing || queue(() => {}));
  }
  onFile(byId("drop"), openFile);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.redraw());
  layOut(manifest);
  return openUnseen();
}
