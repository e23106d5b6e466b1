/* One step of a layer: h and c of PADDED numbers become the next ones, from x. The rows of the
   weights are those of the input gate, the forget gate, the output gate and the candidate. */
TARGET static INLINE void VARIANT(step_layer)(const struct layer *layer, const float *x, float *h,
                                              float *c) {
    ALIGNED float y[4 * PADDED];
    size_t k;
    VARIANT(product)(y, layer->bias, layer->weights, 4 * PADDED, x, layer->inputs, h, H_COLUMNS);
    VARIANT(gates)(y, 3 * PADDED);
    ROLLED
    for (k = 0; k < PADDED; k += LANES) {
        vector e = VARIANT(exp_minus_1)(2.0f * LOAD(y + 3 * PADDED + k));
        vector next = LOAD(c + k) / LOAD(y + PADDED + k) + e / (LOAD(y + k) * (e + 2.0f));
        STORE(c + k, next);
        e = VARIANT(exp_minus_1)(next + next);
        STORE(h + k, e / (LOAD(y + 2 * PADDED + k) * (e + 2.0f)));
    }
#if PROJECTION
    for (k = 0; k < PROJECTED; k++)
        y[k] = 0.0f;
    VARIANT(product)(y, y, layer->projection, PROJECTED, h, HIDDEN, h, 0);
    VARIANT(take)(h, y, H_COLUMNS);
#endif
}
