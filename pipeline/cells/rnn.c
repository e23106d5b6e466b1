/* One step of a layer: h of PADDED numbers becomes the next one, from x. */
TARGET static INLINE void VARIANT(step_layer)(const struct layer *layer, const float *x, float *h) {
    ALIGNED float y[PADDED];
    size_t k;
    VARIANT(product)(y, layer->bias, layer->weights, PADDED, x, layer->inputs, h, HIDDEN);
    for (k = 0; k < PADDED; k += LANES)
        STORE(h + k, VARIANT(activation)(LOAD(y + k)));
}
