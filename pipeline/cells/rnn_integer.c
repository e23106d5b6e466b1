/* One step of a layer: h becomes the next one, from what x and h give it. */
TARGET static INLINE void VARIANT(step_layer)(int32_t *of_x, const int32_t *of_h, int32_t *h) {
    int32_t y[MOST_ROWS];
    size_t k;
    for (k = 0; k < HIDDEN; k++)
        of_x[k] += of_h[k];
    VARIANT(tanhs)(y, of_x, HIDDEN);
    for (k = 0; k < HIDDEN; k++)
        h[k] = y[k] * (1 << (STATE_BITS - 15));
}
