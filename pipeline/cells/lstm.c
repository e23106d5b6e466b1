/* One step of a layer from y, what x and h give its gates: c of PADDED numbers becomes the next
   one, and h is put beside it. The rows are those of the input gate, the forget gate, the output
   gate and the candidate. */
TARGET static INLINE void VARIANT(cell)(float *y, float *h, float *c) {
    size_t k;
    VARIANT(gates)(y, 3 * PADDED);
    ROLLED
    for (k = 0; k < PADDED; k += LANES) {
        vector e = VARIANT(exp_minus_1)(2.0f * LOAD(y + 3 * PADDED + k));
        vector next = LOAD(c + k) / LOAD(y + PADDED + k) + e / (LOAD(y + k) * (e + 2.0f));
        STORE(c + k, next);
        e = VARIANT(exp_minus_1)(next + next);
        STORE(h + k, e / (LOAD(y + 2 * PADDED + k) * (e + 2.0f)));
    }
}
