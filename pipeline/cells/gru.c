/* One step of a layer: h of PADDED numbers becomes the next one, from x. What x gives the candidate
   stands apart from what h gives it, which the reset gate scales: the rows of the input's weights
   are candidate, reset, update; those of the hidden weights are reset, update, candidate. */
TARGET static INLINE void VARIANT(step_layer)(const struct layer *layer, const float *x, float *h) {
    ALIGNED float y[4 * PADDED];
    size_t k;
    VARIANT(copy)(y + 3 * PADDED, layer->bias + 3 * PADDED, PADDED);
    VARIANT(product)(y, layer->bias, layer->input_weights, 3 * PADDED, x, layer->inputs, x, 0);
    VARIANT(product)(y + PADDED, y + PADDED, layer->hidden_weights, 3 * PADDED, h, HIDDEN, h, 0);
    VARIANT(gates)(y + PADDED, 2 * PADDED);
    ROLLED
    for (k = 0; k < PADDED; k += LANES) {
        vector sum = LOAD(y + k) + LOAD(y + PADDED + k) * LOAD(y + 3 * PADDED + k);
        vector candidate = VARIANT(activation)(sum);
        vector update = LOAD(y + 2 * PADDED + k);
        STORE(h + k, candidate + update * (LOAD(h + k) - candidate));
    }
}
