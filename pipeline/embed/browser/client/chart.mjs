// The chart, by uPlot: what was read and the forecast with its bands above, the errors below.

import { libraries } from "./libraries.mjs";
import { shown, timeLabels } from "./times.mjs";

const LEFT = 58; // pixels of the axis, the same in both
const UPPER = ["read", "coming", "said", "forecast", "low90", "high90", "low50", "high50"];
const LOWER = ["error", "under90", "over90", "under50", "over50"];
const SMALLEST = 6; // steps that zooming leaves

const look = (name) => () =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/**
 * Two plots that share their steps. `onZoom` is called when the user chooses a range of them, and
 * `onPoint` with the index of the step that is pointed at, or null.
 */
export class Chart {
  #box;
  #upper = null;
  #lower;
  #data = null;
  #zoomed = null; // first and last x, once the user chose them
  #point = null;
  #onZoom;
  #onPoint;

  constructor(box, onZoom, onPoint) {
    this.#box = box;
    // A picture with keys of its own: screen readers say its label, then what the keys point at.
    box.tabIndex = 0;
    box.setAttribute("role", "img");
    box.setAttribute("aria-describedby", "chart-hint");
    this.#onZoom = onZoom;
    this.#onPoint = onPoint;
    new ResizeObserver(() => this.#resize()).observe(box);
    box.addEventListener("keydown", (event) => this.#key(event));
  }

  /**
   * Show `data`: `x` of every step, `isTime`, the lists that UPPER and LOWER name, the x of `now`,
   * and `view`, the first and last x to show unless the user has zoomed.
   */
  show(data) {
    const isNew = this.#data?.isTime !== data.isTime;
    this.#data = data;
    if (isNew) this.#build();
    const [first, last] = this.#zoomed ?? data.view;
    this.#upper.batch(() => {
      this.#upper.setData([data.x, ...UPPER.map((name) => data[name])], false);
      this.#upper.setScale("x", { min: first, max: last });
    });
    this.#lower.batch(() => {
      this.#lower.setData([data.x, ...LOWER.map((name) => data[name])], false);
      this.#lower.setScale("x", { min: first, max: last });
    });
  }

  /** Show the usual range again. */
  reset() {
    this.#zoomed = null;
    if (this.#data) this.show(this.#data);
  }

  /** Show `factor` times as many steps as now, about the middle or about now. */
  zoom(factor) {
    if (!this.#data) return;
    const { x, now } = this.#data;
    const [first, last] = this.#zoomed ?? this.#data.view;
    const center = first < now && now < last ? now : (first + last) / 2;
    const step = (x.at(-1) - x[0]) / Math.max(1, x.length - 1);
    const low = Math.max(x[0], center - factor * (center - first));
    const high = Math.min(x.at(-1), center + factor * (last - center));
    if (high - low < SMALLEST * step) return;
    this.#choose([low, high]);
  }

  /** Draw anew, in the colours of now. */
  redraw() {
    this.#upper?.redraw(false, true);
    this.#lower?.redraw(false, true);
  }

  #choose(range) {
    this.#zoomed = range;
    this.#onZoom();
    this.show(this.#data);
  }

  #build() {
    this.#upper?.destroy();
    this.#lower?.destroy();
    this.#zoomed = null;
    const { uPlot } = libraries();
    const line = (stroke, more) => ({ stroke: look(stroke), width: 2, points: none, ...more });
    const none = { show: false };
    const edge = { stroke: "transparent", width: 0, points: none };
    const dot = { show: (plot) => plot.data[4].filter(isNumber).length === 2, size: 8 };
    const band = (high, low, name) => ({ series: [high, low], fill: look(name) });
    const upper = [
      line("ink"),
      line("quiet", { dash: [2, 4] }),
      line("accent", { width: 1 }),
      line("accent", { points: { ...dot, fill: look("accent") } }),
      ...[edge, edge, edge, edge],
    ];
    this.#upper = this.#plot(uPlot, upper, [band(6, 5, "faint"), band(8, 7, "soft")], true);
    const lower = [line("ink", { width: 1 }), edge, edge, edge, edge];
    this.#lower = this.#plot(uPlot, lower, [band(3, 2, "faint"), band(5, 4, "soft")], false);
  }

  #plot(uPlot, series, bands, isUpper) {
    const { isTime } = this.#data;
    const axis = { stroke: look("quiet"), font: "12px system-ui, sans-serif" };
    const grid = { stroke: look("line"), width: 1 };
    const ticks = { show: false };
    const labels = (_, at, __, ___, step) =>
      isTime ? timeLabels(at, step) : at.map((one) => (one % 1 === 0 ? words(one) : ""));
    const plot = new uPlot(
      {
        ...this.#size(isUpper),
        padding: [8, 14, 0, 0],
        tzDate: (time) => uPlot.tzDate(new Date(1000 * time), "Etc/UTC"),
        legend: { show: false },
        cursor: {
          sync: { key: this.#box.id, setSeries: false },
          drag: { x: true, y: false, setScale: false },
          points: { show: false },
        },
        scales: { x: { time: isTime }, y: isUpper ? {} : { range: around } },
        axes: [
          {
            ...axis,
            grid: { show: false },
            ticks,
            values: labels,
            space: 64,
            size: isTime ? 44 : 28,
            show: !isUpper,
          },
          { ...axis, grid, ticks, size: LEFT, space: isUpper ? 44 : 28, values: valueLabels },
        ],
        series: [{}, ...series],
        bands,
        hooks: {
          draw: [(one) => this.#drawNow(one)],
          setSelect: [(one) => this.#select(one)],
          setCursor: [(one) => isUpper && this.#pointAt(one.cursor.idx)],
        },
      },
      [this.#data.x, ...series.map(() => [])],
      this.#box,
    );
    plot.over.addEventListener("dblclick", () => this.reset());
    return plot;
  }

  #size(isUpper) {
    const { clientWidth: width, clientHeight: height } = this.#box;
    const lower = Math.round(Math.max(120, 0.32 * height));
    return { width, height: isUpper ? height - lower : lower };
  }

  #resize() {
    this.#upper?.setSize(this.#size(true));
    this.#lower?.setSize(this.#size(false));
  }

  /** A dotted line where the past ends. */
  #drawNow({ ctx, bbox, valToPos }) {
    const at = Math.round(valToPos(this.#data.now, "x", true)) + 0.5;
    if (at < bbox.left || at > bbox.left + bbox.width) return;
    ctx.save();
    ctx.strokeStyle = look("quiet")();
    ctx.setLineDash([2, 5]);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    ctx.restore();
  }

  #select(plot) {
    const { left, width } = plot.select;
    if (width < 8) return;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.#choose([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  }

  #pointAt(index) {
    if (index === this.#point) return;
    this.#point = index ?? null;
    this.#onPoint(this.#point);
  }

  /** Arrows move from step to step, plus and minus zoom, and 0 or Escape shows the usual range. */
  #key(event) {
    if (!this.#data) return;
    const { x, now } = this.#data;
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move) {
      const start = this.#point ?? x.findLastIndex((one) => one <= now);
      const index = Math.min(x.length - 1, Math.max(0, start + move));
      const left = this.#upper.valToPos(x[index], "x");
      this.#upper.setCursor({ left, top: 0 });
    } else if (event.key === "+") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else if (["0", "Escape"].includes(event.key)) this.reset();
    else return;
    event.preventDefault();
  }
}

const isNumber = (value) => value !== null && value !== undefined;
const words = (value) => value.toLocaleString("en").replace("-", "−");

/** Numbers of an axis; very large and very small ones as powers of ten. */
function valueLabels(_, values) {
  const largest = Math.max(...values.map(Math.abs));
  const isPlain = largest === 0 || (largest >= 1e-3 && largest < 1e6);
  const label = (value) =>
    value === 0 ? "0" : isPlain ? words(value) : value.toExponential(1).replace("-", "−");
  return values.map(label);
}

/** A range about 0 that the largest error fits in. */
function around(_, low, high) {
  const largest = 1.1 * Math.max(Math.abs(low ?? 0), Math.abs(high ?? 0), 1e-9);
  return [-largest, largest];
}

/** What the chart says of the step at `index` of `data`, or an empty line. */
export function stepWords(data, index, show) {
  const { x, isTime, withClock } = data;
  const at = isTime ? shown(x[index], withClock) : `Step ${words(x[index])}`;
  const value = (name) => (isNumber(data[name][index]) ? show(data[name][index]) : null);
  const isAhead = x[index] > data.now;
  const parts = [
    ["read", value("read")],
    ["came", isAhead ? value("coming") : null],
    ["forecast", isAhead ? value("forecast") : value("told")],
    ["50 %", isAhead && value("low50") && `${value("low50")} to ${value("high50")}`],
    ["90 %", isAhead && value("low90") && `${value("low90")} to ${value("high90")}`],
  ];
  return [at, ...parts.filter(([, one]) => one).map((part) => part.join(" "))].join(" · ");
}
