// Draws the next character of a text, in float32 and in the order that the bundle's format says.

const { fround } = Math;
const exp = (x) => fround(Math.exp(x));
const sum = (numbers) => numbers.reduce((a, b) => fround(a + b), 0);

/** The entry drawn from the logits of all entries, of which entry 0 is never drawn. */
export function sample(logits, uniform, { temperature, topK, topP }) {
  const known = logits.subarray(1);
  const largest = known.reduce((a, b) => Math.max(a, b));
  const divisor = fround(temperature > 0 ? temperature : 1e-30);
  const distance = known.map((logit) => fround(logit - largest) / divisor);
  const isFiltered = topK > 0 || topP < 1;
  const least = isFiltered ? leastKept(distance, topK, topP) : Number.NEGATIVE_INFINITY;
  const reached = new Float32Array(distance.length);
  let total = 0;
  for (const [entry, value] of distance.entries()) {
    total = fround(total + (value >= least ? exp(value) : 0));
    reached[entry] = total;
  }
  const number = temperature > 0 ? Math.min(uniform, fround(0.9999998807907104)) : 0;
  return reached.findIndex((value) => value > fround(number * total)) + 1;
}

/** The least distance that is kept by top-k and then by top-p. */
function leastKept(distance, topK, topP) {
  const ordered = distance.slice().sort().reverse();
  const candidates = topK > 0 ? ordered.subarray(0, topK) : ordered;
  const total = sum(candidates.map(exp));
  const limit = topP < 1 ? fround(topP) : 2;
  let before = 0;
  let last = 0;
  for (; last + 1 < candidates.length; last += 1) {
    before = fround(before + fround(exp(candidates[last]) / total));
    if (before >= limit) break;
  }
  return candidates[last];
}
