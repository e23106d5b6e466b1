/* One step of a layer from y, what x and h give its gates: h of PADDED numbers becomes the next
   one. What x gives the candidate stands apart from what h gives it, which the reset gate scales:
   the rows of the input's weights are candidate, reset, update; those of the hidden weights are
   reset, update, candidate. */
TARGET static INLINE void VARIANT(cell)(float *y, float *h) {
    size_t k;
    VARIANT(gates)(y + PADDED, 2 * PADDED);
    ROLLED
    for (k = 0; k < PADDED; k += LANES) {
        vector sum = LOAD(y + k) + LOAD(y + PADDED + k) * LOAD(y + 3 * PADDED + k);
        vector candidate = VARIANT(activation)(sum);
        vector update = LOAD(y + 2 * PADDED + k);
        STORE(h + k, candidate + update * (LOAD(h + k) - candidate));
    }
}
