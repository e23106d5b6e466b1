// The chart: what was read and the forecast with its bands above, how far off they are below.

import { label, nice, rounded } from "./scale.mjs";

export const SHOWN = 120; // steps of the past
const LEFT = 58;
const RIGHT = 14;

/**
 * Draw on `canvas`. All series are plain lists: `history`, what was `said` of each of its values
 * one step before, what is `coming`, the `forecast`, and its four `bands` from the lowest up.
 */
export function drawChart(canvas, { history, said, coming, forecast, bands, title }) {
  const pen = start(canvas);
  const { width, height } = pen;
  const all = [history, coming, forecast, ...(bands ?? [])].flat();
  const off = history.map((value, index) => said[index] - value);
  const around = bands?.map((band) => [0, ...band.map((value, index) => value - forecast[index])]);
  const errors = [off, ...(around ?? [])].flat().filter(Number.isFinite);
  const widest = Math.max(...errors.map(Math.abs), 1e-9);
  const largest = nice(widest, [1, 1.5, 2, 3, 5, 7.5, 10]);

  const future = Math.max(forecast.length, 12);
  const x = (step) => LEFT + ((step + SHOWN) / (SHOWN + future)) * (width - LEFT - RIGHT);
  const split = Math.round(height * 0.66);
  const upper = panel(pen, 26, split - 16, ...rounded(all), title);
  const error = "error one step ahead";
  const lower = panel(pen, split + 22, height - 30, -largest, largest, error, largest);
  note(pen, x(0) + 8, split + 12, "bands about the forecast", bands);
  timeAxis(pen, x, future);

  const past = 1 - history.length; // the last value read stands at 0
  const tied = (band) => [history.at(-1), ...band];
  if (bands) area(pen, x, upper, bands.map(tied));
  line(pen, x, upper, history, past, { color: pen.ink });
  line(pen, x, upper, tied(forecast), 0, { color: pen.accent });
  if (forecast.length === 1) {
    line(pen, x, upper, said, past, { color: pen.accent, thin: true });
    point(pen, x(1), upper(forecast[0]));
  }
  line(pen, x, upper, tied(coming), 0, { color: pen.quiet, dash: [2, 4] });
  if (around) area(pen, x, lower, around);
  line(pen, x, lower, off, past, { color: pen.ink, thin: true });
}

/** A clean canvas with as many pixels as the screen has, and the colours of the page. */
function start(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = "12px system-ui, sans-serif";
  context.lineJoin = "round";
  const style = getComputedStyle(canvas);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const colors = ["ink", "quiet", "line", "accent"].map((name) => [name, color(name)]);
  return { context, width, height, ...Object.fromEntries(colors) };
}

/** A title, and lines across every `step` or so many pixels; gives the scale of the values. */
function panel({ context, width, quiet, line: rule }, top, bottom, low, high, title, step) {
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  step ??= nice((high - low) / Math.max(2, Math.floor((bottom - top) / 44)));
  context.fillStyle = quiet;
  context.textAlign = "left";
  context.fillText(title, LEFT, top - 10);
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) {
    const at = Math.round(y(index * step)) + 0.5;
    stroke(context, { color: rule, thin: true }, [LEFT, at, width - RIGHT, at]);
    context.fillText(label(index * step, step), LEFT - 8, at);
  }
  context.textBaseline = "alphabetic";
  return y;
}

/** Words where there is room for them. */
function note({ context, width, quiet }, x, y, words, wanted) {
  if (!wanted || x + context.measureText(words).width > width - RIGHT) return;
  context.fillStyle = quiet;
  context.textAlign = "left";
  context.fillText(words, x, y);
}

/** Steps from now, below both panels, and a line where the past ends. */
function timeAxis({ context, width, height, quiet }, x, future) {
  const step = nice((SHOWN + future) / Math.max(3, Math.floor(width / 70)));
  context.textAlign = "center";
  for (let at = -Math.floor(SHOWN / step) * step; at <= future; at += step) {
    const word = at === 0 ? "now" : `${at > 0 ? "+" : "−"}${Math.abs(at)}`;
    if (x(at) < width - 14) context.fillText(word, x(at), height - 8);
  }
  const now = Math.round(x(0)) + 0.5;
  stroke(context, { color: quiet, thin: true, dash: [1, 3] }, [now, 22, now, height - 24]);
}

function line({ context }, x, y, values, first, style) {
  const points = values.flatMap((value, index) =>
    Number.isFinite(value) ? [x(first + index), y(value)] : [],
  );
  stroke(context, style, points);
}

function stroke(context, { color, thin, dash }, points) {
  context.beginPath();
  for (let at = 0; at < points.length; at += 2) context.lineTo(points[at], points[at + 1]);
  context.strokeStyle = color;
  context.lineWidth = thin ? 1 : 2;
  context.setLineDash(dash ?? []);
  context.stroke();
  context.setLineDash([]);
}

/** The outer band faint, the inner one over it. */
function area({ context, accent }, x, y, [low90, low50, high50, high90]) {
  context.fillStyle = accent;
  context.globalAlpha = 0.22;
  for (const [low, high] of [
    [low90, high90],
    [low50, high50],
  ]) {
    context.beginPath();
    for (const [index, value] of low.entries()) context.lineTo(x(index), y(value));
    for (let at = high.length - 1; at >= 0; at -= 1) context.lineTo(x(at), y(high[at]));
    context.fill();
  }
  context.globalAlpha = 1;
}

function point({ context, accent }, x, y) {
  context.beginPath();
  context.arc(x, y, 4, 0, 2 * Math.PI);
  context.fillStyle = accent;
  context.fill();
}
