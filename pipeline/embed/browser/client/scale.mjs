// Round numbers for the axes of a chart.

/** One of `factors` times a power of ten: the nearest one from `size` up. */
export function nice(size, factors = [1, 2, 5, 10]) {
  const power = 10 ** Math.floor(Math.log10(size));
  return power * factors.find((factor) => factor * power >= size * (1 - 1e-9));
}

/** The range of some values, out to round numbers, so that it does not tremble as they move. */
export function rounded(values) {
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const step = nice((high - low || Math.abs(high) || 1) / 5);
  return [Math.floor(low / step) * step, Math.ceil(high / step) * step];
}

/** A number for an axis whose lines are `step` apart. */
export function label(value, step) {
  const [, decimals = ""] = String(Number(step.toPrecision(3))).split(".");
  const long = step < 1e-4 || Math.abs(value) >= 1e6;
  const word = long ? value.toExponential(1) : value.toFixed(decimals.length);
  return Math.abs(value) < step / 2 ? "0" : word.replace("-", "−");
}
