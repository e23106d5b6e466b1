// Sample paths of a forecast: the noise that goes in, and the quantiles of what comes out.

import { uniforms } from "./random.mjs";

const SEED = 1;
const QUANTILES = [0.05, 0.25, 0.75, 0.95];

/** Standard normal numbers, the same each time, so that bands do not flicker (Box and Muller). */
export function normals(count) {
  const random = uniforms(SEED);
  return Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return radius * Math.cos(2 * Math.PI * random());
  });
}

/** Four bands of `paths` [samples, steps, targets], from the lowest up: by step, then by column. */
export function bandsOf(paths, samples, steps, targets) {
  const bands = QUANTILES.map(() => []);
  for (let step = 0; step < steps; step += 1) {
    const rows = QUANTILES.map(() => []);
    for (let target = 0; target < targets; target += 1) {
      const at = (sample) => paths[(sample * steps + step) * targets + target];
      const sorted = Float32Array.from({ length: samples }, (_, sample) => at(sample)).sort();
      QUANTILES.forEach((share, index) => {
        rows[index].push(quantile(sorted, share));
      });
    }
    bands.forEach((band, index) => {
      band.push(rows[index]);
    });
  }
  return bands;
}

/** Between its two neighbours, as numpy's default has it. */
function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}
