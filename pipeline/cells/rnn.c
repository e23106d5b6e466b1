/* One step of a layer from y, what x and h give it: h of PADDED numbers. */
TARGET static INLINE void VARIANT(cell)(const float *y, float *h) {
    size_t k;
    for (k = 0; k < PADDED; k += LANES)
        STORE(h + k, VARIANT(activation)(LOAD(y + k)));
}
