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
