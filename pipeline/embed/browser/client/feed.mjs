// A series on its way into the model: what was read, and what is forecast from there.

import { SHOWN } from "./chart.mjs";
import { call } from "./model.mjs";

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
    this.past = this.past.slice(-SHOWN);
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

  /** One column, as the chart wants it. */
  column(index) {
    const of = (rows) => rows.map((row) => row?.[index] ?? Number.NaN);
    const { forecast, bands } = this.ahead;
    return {
      history: of(this.past.map(({ row }) => row)),
      said: of(this.past.map(({ said }) => said)),
      coming: of(this.rows.slice(this.position, this.position + forecast.length)),
      forecast: of(forecast),
      bands: bands?.map(of),
    };
  }
}
