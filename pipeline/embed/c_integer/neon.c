/* y + bias of four rows, their sums scaled; the shift rounds. */
TARGET static INLINE void VARIANT(scale)(int32_t *y, const struct matrix *matrix, size_t row,
                                         int32x4_t sum) {
    const int32x4_t by = vld1q_s32(matrix->multipliers + row);
    const int64x2_t shift = vdupq_n_s64(-matrix->shift);
    const int64x2_t low = vrshlq_s64(vmull_s32(vget_low_s32(sum), vget_low_s32(by)), shift);
    const int64x2_t high = vrshlq_s64(vmull_high_s32(sum, by), shift);
    const int32x4_t scaled = vcombine_s32(vmovn_s64(low), vmovn_s64(high));
    vst1q_s32(y + row, vaddq_s32(scaled, vld1q_s32(matrix->bias + row)));
}

#if DOTS
/* Four columns of a byte of x, for every row. */
TARGET static INLINE int8x16_t VARIANT(four)(const int8_t *bytes) {
    int32_t columns;
    __builtin_memcpy(&columns, bytes, sizeof columns);
    return vreinterpretq_s8_s32(vdupq_n_s32(columns));
}

/* x is 256 high + low + 128, both in 8 bits; so a sum takes three, of which the last is W 1. */
TARGET static void VARIANT(product)(int32_t *y, const struct matrix *matrix, const int16_t *x) {
    const int8x16_t ones = vdupq_n_s8(1);
    int8_t high[MOST_COLUMNS], low[MOST_COLUMNS];
    const int8_t *w = matrix->weights;
    size_t row, column, k;
    for (column = 0; column < matrix->columns; column++) {
        high[column] = (int8_t)(x[column] >> 8);
        low[column] = (int8_t)((x[column] & 255) - 128);
    }
    for (row = 0; row < matrix->rows; row += PANEL) {
        int32x4_t highs[PANEL / 4], lows[PANEL / 4], sums[PANEL / 4];
        for (k = 0; k < PANEL / 4; k++)
            highs[k] = lows[k] = sums[k] = vdupq_n_s32(0);
        for (column = 0; column < matrix->columns; column += 4, w += 4 * PANEL) {
            const int8x16_t h = VARIANT(four)(high + column), l = VARIANT(four)(low + column);
            for (k = 0; k < PANEL / 4; k++) {
                const int8x16_t of = vld1q_s8(w + 16 * k);
                highs[k] = vdotq_s32(highs[k], of, h);
                lows[k] = vdotq_s32(lows[k], of, l);
                sums[k] = vdotq_s32(sums[k], of, ones);
            }
        }
        for (k = 0; k < PANEL / 4; k++) {
            const int32x4_t both = vaddq_s32(vshlq_n_s32(highs[k], 8), lows[k]);
            VARIANT(scale)(y, matrix, row + 4 * k, vaddq_s32(both, vshlq_n_s32(sums[k], 7)));
        }
    }
}
#else
TARGET static void VARIANT(product)(int32_t *y, const struct matrix *matrix, const int16_t *x) {
    const int8_t *w = matrix->weights;
    size_t row, column, k;
    for (row = 0; row < matrix->rows; row += PANEL) {
        int32x4_t of_columns[PANEL]; /* of each row, the sums of every fourth column */
        for (k = 0; k < PANEL; k++)
            of_columns[k] = vdupq_n_s32(0);
        for (column = 0; column < matrix->columns; column += 4, w += 4 * PANEL) {
            const int16x4_t four = vld1_s16(x + column);
            for (k = 0; k < PANEL; k += 2) {
                const int16x8_t two = vmovl_s8(vld1_s8(w + 4 * k));
                of_columns[k] = vmlal_s16(of_columns[k], vget_low_s16(two), four);
                of_columns[k + 1] = vmlal_s16(of_columns[k + 1], vget_high_s16(two), four);
            }
        }
        for (k = 0; k < PANEL; k += 4)
            VARIANT(scale)
            (y, matrix, row + k,
             vpaddq_s32(vpaddq_s32(of_columns[k], of_columns[k + 1]),
                        vpaddq_s32(of_columns[k + 2], of_columns[k + 3])));
    }
}
#endif
