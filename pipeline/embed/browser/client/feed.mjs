// A series on its way into the model: what was read, and what is forecast from there.

import { call } from "./model.mjs";

export const SHOWN = 120; // steps of the past that the chart shows at first
const KEPT = 5000; // steps of the past that it can show
const NORMAL = [-1.6449, -0.6745, 0.6745, 1.6449]; // its 5, 25, 75 and 95 % quantiles

export class Feed {
  rows = [];
  position = 0; // rows that were read
  past = []; // the last of them: { row, said }, said being the forecast made a step before
  ahead = { forecast: [], bands: null }; // by step, then by column

  #oneStep;

  constructor({ loop, spread }) {
    this.loop = loop;
    this.spread = spread;
  }

  get ready() {
    return this.ahead.forecast.length > 0;
  }

  get atEnd() {
    return this.position === this.rows.length;
  }

  /** Take a series, of which the model has read nothing; the chart has its first rows at once. */
  take(rows) {
    const start = Math.min(SHOWN, Math.ceil(rows.length / 2));
    const past = rows.slice(0, start).map((row) => ({ row }));
    Object.assign(this, { rows, position: start, past, ahead: { forecast: [], bands: null } });
  }

  /** Begin with the first rows of a series, as many as the chart shows or half of them. */
  async open(rows) {
    await call("restart");
    Object.assign(this, { rows, position: 0, past: [] });
    this.#oneStep = undefined;
    await this.read(Math.min(SHOWN, Math.ceil(rows.length / 2)));
  }

  /** Let the model read the next `count` rows, or as many as there are. */
  async read(count) {
    const rows = this.rows.slice(this.position, this.position + count);
    if (rows.length === 0) return;
    const outputs = await call("read", rows);
    const said = [this.#oneStep, ...outputs];
    this.past = [...this.past, ...rows.map((row, index) => ({ row, said: said[index] }))];
    this.past = this.past.slice(-KEPT);
    this.position += rows.length;
    this.#oneStep = outputs.at(-1);
  }

  /** Forecast from the last row: with the loop graph `steps` far, or else one step. */
  async forecast(steps, samples) {
    if (this.loop) {
      this.ahead = await call("forecast", steps, this.spread ? samples : 0);
    } else {
      const off = (times) => [this.#oneStep.map((value, at) => value + times * this.spread[at])];
      this.ahead = { forecast: [this.#oneStep], bands: this.spread && NORMAL.map(off) };
    }
  }

  /** One column, as the chart wants it: lists over the past and the steps ahead, null for nothing. */
  column(index) {
    const { forecast, bands } = this.ahead;
    const read = this.past.map(({ row }) => row[index]);
    const told = this.past.map(({ said }) => said?.[index] ?? null);
    const none = (count) => Array.from({ length: count }, () => null);
    const [before, after] = [none(read.length - 1), none(forecast.length)];
    const last = read.at(-1);
    const ahead = (values) => [...before, last, ...values.map((row) => row[index])];
    const about = (values) => [
      ...before,
      0,
      ...values.map((row, at) => row[index] - forecast[at][index]),
    ];
    const coming = this.rows.slice(this.position, this.position + forecast.length);
    const edges = bands ?? [];
    const edge = (make, at) => (edges.length ? make(edges[at]) : [...none(read.length), ...after]);
    return {
      read: [...read, ...after],
      told: [...told, ...after],
      said: forecast.length === 1 ? [...told, ...after] : none(read.length + forecast.length),
      error: [...told.map((one, at) => (one === null ? null : one - read[at])), ...after],
      coming: [...ahead(coming), ...none(forecast.length - coming.length)],
      forecast: ahead(forecast),
      ...{ low90: edge(ahead, 0), low50: edge(ahead, 1) },
      ...{ high50: edge(ahead, 2), high90: edge(ahead, 3) },
      ...{ under90: edge(about, 0), under50: edge(about, 1) },
      ...{ over50: edge(about, 2), over90: edge(about, 3) },
    };
  }
}
