/* tanh of the size of x, by the parabola of its segment; segments are 2^bits long. */
TARGET static INLINE int32_t VARIANT(squashed)(int32_t x, int bits) {
    const int32_t top = (SEGMENTS << bits) - 1, size = x < 0 ? -x : x, in = size < top ? size : top;
    const int32_t segment = in >> bits, t = (in & ((1 << bits) - 1)) << (15 - bits);
    return squash_0[segment] +
           ROUNDED((squash_1[segment] + ROUNDED(squash_2[segment] * t, 15)) * t, 15);
}

TARGET static void VARIANT(tanhs)(int32_t *to, const int32_t *x, size_t size) {
    size_t k;
    for (k = 0; k < size; k++) {
        const int32_t y = VARIANT(squashed)(x[k], OUTPUT_BITS - 3);
        to[k] = x[k] < 0 ? -y : y;
    }
}

#if GATES
TARGET static void VARIANT(gates)(int32_t *to, const int32_t *x, size_t size) {
    size_t k;
    for (k = 0; k < size; k++) {
        const int32_t y = ROUNDED(VARIANT(squashed)(x[k], OUTPUT_BITS - 2), 1);
        to[k] = (1 << 14) + (x[k] < 0 ? -y : y);
    }
}
#endif
