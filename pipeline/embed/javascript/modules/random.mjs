// Random numbers that are the same in every language.

/** A function that gives number after number from 0 to 1, by xorshift32 (Marsaglia, 2003). */
export function uniforms(seed) {
  let x = Math.imul(seed, 0x9e3779b9) | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 8) / 2 ** 24;
  };
}
