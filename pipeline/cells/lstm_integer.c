/* One step of a layer: h and c become the next ones, from what x and h give the input gate, the
   forget gate, the output gate and the candidate. c stays between -256 and 256. */
TARGET static INLINE void VARIANT(step_layer)(int32_t *of_x, const int32_t *of_h, int32_t *h,
                                              int32_t *c) {
    int32_t gates[MOST_ROWS], other[ROOM(HIDDEN)] = {0};
    const int32_t *in = gates, *forget = gates + HIDDEN, *out = gates + 2 * HIDDEN;
    size_t k;
    for (k = 0; k < 4 * HIDDEN; k++)
        of_x[k] += of_h[k];
    VARIANT(gates)(gates, of_x, 3 * HIDDEN);
    VARIANT(tanhs)(other, of_x + 3 * HIDDEN, HIDDEN);
    for (k = 0; k < HIDDEN; k++) {
        const int32_t next = part(forget[k], c[k]) + ROUNDED(in[k] * other[k], 30 - STATE_BITS);
        c[k] = next < -STATE_LIMIT ? -STATE_LIMIT : next < STATE_LIMIT ? next : STATE_LIMIT;
        other[k] = ROUNDED(c[k], STATE_BITS - OUTPUT_BITS);
    }
    VARIANT(tanhs)(other, other, HIDDEN);
    for (k = 0; k < HIDDEN; k++)
        h[k] = ROUNDED(out[k] * other[k], 30 - STATE_BITS);
}
