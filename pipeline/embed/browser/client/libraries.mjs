// The two libraries of the page, which index.html loads as scripts: Papa Parse and uPlot.

/** Both of them, or an error that says how to get them. */
export function libraries() {
  const { Papa, uPlot } = globalThis;
  if (Papa && uPlot) return { Papa, uPlot };
  const what = `${Papa ? "uPlot" : "Papa Parse"} cannot be loaded`;
  const remedy = "'npm install --ignore-scripts' gets it";
  throw Object.assign(new Error(`${what}; ${remedy}`), { code: 7 });
}
