// The page of a series model: values come in one at a time, and the forecast moves on with them.

import { drawChart } from "./chart.mjs";
import { readCsv } from "./csv.mjs";
import { Feed } from "./feed.mjs";
import { byId } from "./tables.mjs";

const count = (number) => number.toLocaleString("en");
const show = (value) => Number(value.toPrecision(4)).toString().replace("-", "−");

/** Show the page of a series model, fed with `unseen` rows; `fail` puts an error on the page. */
export function openSeries(manifest, unseen, fail) {
  const { features, targets } = manifest.model;
  const columns = manifest.source.columns ?? [];
  const feed = new Feed(manifest);
  let names = [];
  let repeats = false; // unseen data begins anew at its end; a file of the user stays there
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

  function next() {
    return queue(() => (feed.atEnd && repeats ? feed.open(feed.rows) : feed.read(1)));
  }

  function play(on) {
    playing = on && (repeats || !feed.atEnd);
    clearTimeout(timer);
    byId("play").textContent = playing ? "Pause" : "Play";
    if (playing) timer = setTimeout(tick, 1000 / byId("speed").valueAsNumber);
  }

  async function tick() {
    await next();
    if (playing) play(true);
  }

  async function open(rows, name, header, again) {
    fail(null);
    play(false);
    repeats = again;
    const plain = (index) => (targets === 1 ? "value" : `column ${index + 1}`);
    names = Array.from({ length: targets }, (_, index) => header[index] || plain(index));
    byId("target").replaceChildren(...names.map((label) => new Option(label)));
    byId("series-source").textContent = `${name}, ${count(rows.length)} steps`;
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

  const openUnseen = () => open(unseen, "Unseen data", columns, true);
  byId("play").addEventListener("click", () => play(!playing));
  byId("step").addEventListener("click", pauseAnd(next));
  byId("end").addEventListener(
    "click",
    pauseAnd(() => queue(() => feed.read(feed.rows.length))),
  );
  byId("held-out").addEventListener("click", openUnseen);
  byId("target").addEventListener("change", draw);
  for (const id of ["horizon", "samples"]) {
    byId(id).addEventListener("input", () => playing || queue(() => {}));
  }
  openFiles(openFile);
  new ResizeObserver(() => feed.ready && draw()).observe(byId("chart"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  layOut(manifest);
  return openUnseen();
}

/** What of the page a model of this kind has, and one line on what it cannot do. */
function layOut({ model, loop, spread, window: steps }) {
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
  byId("csv-hint").textContent = `CSV, one step a line, ${columns}; or drop it here`;
  for (const one of document.querySelectorAll("#series .loop")) one.hidden = !loop;
  for (const one of document.querySelectorAll("#series .bands")) one.hidden ||= !spread;
  for (const one of document.querySelectorAll("#series input[type=range]")) {
    const output = document.querySelector(`output[for=${one.id}]`);
    const tell = () => {
      output.textContent = one.value;
    };
    one.addEventListener("input", tell);
    tell();
  }
}

function openFiles(open) {
  byId("csv").addEventListener("change", ({ target }) => {
    if (target.files.length > 0) open(target.files[0]);
  });
  const section = byId("series");
  for (const kind of ["dragover", "dragleave", "drop"]) {
    section.addEventListener(kind, (event) => {
      event.preventDefault();
      byId("drop").classList.toggle("over", kind === "dragover");
      const [file] = kind === "drop" ? event.dataTransfer.files : [];
      if (file) open(file);
    });
  }
}
