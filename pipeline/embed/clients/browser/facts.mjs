// What the manifest says of the model, and what the replay found, as lists and tables.

const byId = (id) => document.getElementById(id);
const CELLS = { rnn: "RNN", lstm: "LSTM", gru: "GRU" };

/** Fill the page's heading and its facts; `sizes` are those of the files that were read. */
export function showFacts(manifest, sizes) {
  const { model, name, parameters, task } = manifest;
  const layers = `${CELLS[model.cell]}, ${model.num_layers} × ${model.hidden_size} units`;
  document.title = name;
  byId("name").textContent = name;
  byId("summary").textContent = `${layers}, ${parameters.toLocaleString("en")} parameters`;
  const cell = model.nonlinearity === "relu" ? `${CELLS[model.cell]} with ReLU` : CELLS[model.cell];
  const series = task === "series";
  list("facts", [
    ["Task", series ? "forecast a series" : "write text"],
    ["Cell", cell],
    ["Hidden size", model.hidden_size],
    ["Layers", model.num_layers],
    ["Projected to", model.proj_size || null],
    ["Directions", model.bidirectional ? "both, whole sequences" : "one, state carried"],
    ["Bias", model.bias ? null : "none"],
    ["Columns read", series ? model.features : null],
    ["Columns forecast", series ? model.targets : null],
    ["Vocabulary", series ? null : `${Array.from(manifest.vocabulary).length} characters`],
    ["Embedding", model.embedding_size],
    ["Parameters", parameters.toLocaleString("en")],
    ["Opset of ONNX", manifest.opset],
    ["Trained", trained(manifest.training)],
  ]);
  const files = Object.entries(sizes).map(([file, bytes]) => [file, bytes.toLocaleString("en")]);
  table("files", ["file", "bytes"], files);
  const versions = Object.entries(manifest.versions).map((pair) => pair.join(" "));
  byId("versions").textContent = `Exported with ${versions.join(", ")}.`;
  showScores(manifest);
  byId("about").hidden = false;
}

function trained(training) {
  if (training === null) return "elsewhere, imported";
  return `${training.epochs} epochs, best ${training.best_epoch}`;
}

function showScores({ training, source }) {
  const scores = training?.scores;
  if (scores === undefined) {
    byId("scores-words").textContent = `None: imported weights of ${source.file}.`;
  } else if (scores.one_step) {
    const free = scores.free_run && `free run of ${scores.free_run_steps}`;
    byId("scores-words").textContent = "Root mean squared error on unseen data, raw units.";
    const rows = [
      ["network", "one_step", "free_run"],
      ["persistence", "one_step_persistence", "free_run_persistence"],
      ["seasonal naive", "one_step_seasonal", "free_run_seasonal"],
    ].map(([name, ...keys]) => [
      name,
      ...keys.slice(0, free ? 2 : 1).map((key) => scores[key].rmse.toPrecision(3)),
    ]);
    table("scores", ["", "one step", ...(free ? [free] : [])], rows);
  } else {
    const best = Math.min(...scores.ngram_bits);
    byId("scores-words").textContent = "On text that training never saw.";
    table("scores", ["", "bits per character", "right at once"], [
      ["network", scores.bits_per_character.toFixed(3), `${(100 * scores.accuracy).toFixed(1)} %`],
      [`n-gram, order ${scores.ngram_bits.indexOf(best)}`, best.toFixed(3), ""],
    ]);
  }
}

/** What the replay of golden.json found in this browser. */
export function showParity(found, tolerance) {
  const verdict = byId("verdict");
  verdict.dataset.passed = found.passed;
  verdict.textContent = found.passed
    ? "✓ PyTorch’s numbers, in this browser"
    : "✗ Not PyTorch’s numbers in this browser";
  const calls = `${found.calls} calls of the golden trajectories, replayed with the state carried`;
  const allowed = `allowed are ${tolerance.atol} + ${tolerance.rtol} of the value`;
  byId("parity-words").textContent = `${calls}; ${allowed}.`;
  list("parity", [
    ["Largest error of output", small(found.output)],
    ["of next_state", small(found.next_state)],
    ["Share of the tolerance", found.share === null ? "not finite" : percent(found.share)],
    ["One step takes", `${found.microseconds_per_step.toFixed(1)} µs`],
  ]);
  byId("runtime").textContent = `${found.runtime}, one thread of WebAssembly`;
}

function small(error) {
  return error === null ? "not finite" : error === 0 ? "0" : error.toExponential(1);
}

function percent(share) {
  return `${(100 * share).toPrecision(2)} %`;
}

function list(id, pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined);
  const boxes = known.map(([name, value]) => {
    const pair = [element("dt", name), element("dd", value)];
    if (id === "facts") return pair;
    const box = document.createElement("div");
    box.append(...pair);
    return [box];
  });
  byId(id).replaceChildren(...boxes.flat());
}

function table(id, head, rows) {
  const line = (kind, cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((cell) => element(kind, cell)));
    return row;
  };
  const top = document.createElement("thead");
  const body = document.createElement("tbody");
  top.append(line("th", head));
  body.append(...rows.map((row) => line("td", row)));
  byId(id).replaceChildren(top, body);
}

function element(kind, words) {
  const made = document.createElement(kind);
  made.textContent = words;
  return made;
}
