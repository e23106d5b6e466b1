/* y = bias + W x, in units of 1 / 2^OUTPUT_BITS. */
TARGET static void VARIANT(product)(int32_t *y, const struct matrix *matrix, const int16_t *x) {
    const int64_t half = 1LL << (matrix->shift - 1);
    const int8_t *w = matrix->weights;
    size_t row, k, column;
    for (row = 0; row < matrix->rows; row += PANEL) {
        int32_t sums[PANEL] = {0};
        for (column = 0; column < matrix->columns; column += 4, w += 4 * PANEL)
            for (k = 0; k < PANEL; k++)
                sums[k] += w[4 * k] * x[column] + w[4 * k + 1] * x[column + 1] +
                           w[4 * k + 2] * x[column + 2] + w[4 * k + 3] * x[column + 3];
        for (k = 0; k < PANEL; k++) {
            const int64_t scaled = (int64_t)sums[k] * matrix->multipliers[row + k];
            y[row + k] = matrix->bias[row + k] + (int32_t)((scaled + half) >> matrix->shift);
        }
    }
}

/* tanh of the size of x, by the parabola of its segment; segments are 2^bits long. */
static INLINE int32_t squashed(int32_t x, int bits) {
    const int32_t top = (SEGMENTS << bits) - 1, size = x < 0 ? -x : x, in = size < top ? size : top;
    const int32_t segment = in >> bits, t = (in & ((1 << bits) - 1)) << (15 - bits);
    return squash_0[segment] +
           ROUNDED((squash_1[segment] + ROUNDED(squash_2[segment] * t, 15)) * t, 15);
}

TARGET static void VARIANT(tanhs)(int32_t *to, const int32_t *x, size_t size) {
    size_t k;
    for (k = 0; k < size; k++) {
        const int32_t y = squashed(x[k], OUTPUT_BITS - 3);
        to[k] = x[k] < 0 ? -y : y;
    }
}

#if GATES
TARGET static void VARIANT(gates)(int32_t *to, const int32_t *x, size_t size) {
    size_t k;
    for (k = 0; k < size; k++) {
        const int32_t y = ROUNDED(squashed(x[k], OUTPUT_BITS - 2), 1);
        to[k] = (1 << 14) + (x[k] < 0 ? -y : y);
    }
}
#endif
