/* One step of a layer: h becomes the next one, from what x and h give the reset gate, the update gate
   and the candidate. The reset gate scales what h gives the candidate. */
TARGET static INLINE void VARIANT(step_layer)(int32_t *of_x, const int32_t *of_h, int32_t *h) {
    int32_t gates[MOST_ROWS], candidate[ROOM(HIDDEN)] = {0};
    const int32_t *reset = gates, *update = gates + HIDDEN;
    size_t k;
    for (k = 0; k < 2 * HIDDEN; k++)
        of_x[k] += of_h[k];
    VARIANT(gates)(gates, of_x, 2 * HIDDEN);
    for (k = 0; k < HIDDEN; k++)
        candidate[k] = of_x[2 * HIDDEN + k] + part(reset[k], of_h[2 * HIDDEN + k]);
    VARIANT(tanhs)(candidate, candidate, HIDDEN);
    for (k = 0; k < HIDDEN; k++) {
        const int32_t next = candidate[k] * (1 << (STATE_BITS - 15));
        h[k] = next + part(update[k], h[k] - next);
    }
}
