#define LOAD(from) _mm512_loadu_si512((const void *)(from))
#define STORE(to, x) _mm512_storeu_si512((void *)(to), x)

/* The sums of a panel, scaled. `high` and `low` are those with the bytes of x + 32768. */
TARGET static INLINE void VARIANT(scale)(int32_t *y, const struct matrix *matrix, size_t row,
                                         __m512i high, __m512i low) {
    const __m512i half = _mm512_set1_epi64(1LL << (matrix->shift - 1));
    const __m128i shift = _mm_cvtsi32_si128(matrix->shift);
    const __m512i by = LOAD(matrix->multipliers + row);
    const __m512i sum = _mm512_sub_epi32(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low),
                                         LOAD(matrix->offsets + row));
    __m512i even = _mm512_mul_epi32(sum, by);
    __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64(sum, 32), _mm512_srli_epi64(by, 32));
    even = _mm512_sra_epi64(_mm512_add_epi64(even, half), shift);
    odd = _mm512_sra_epi64(_mm512_add_epi64(odd, half), shift);
    even = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
    STORE(y + row, _mm512_add_epi32(even, LOAD(matrix->bias + row)));
}

/* Four columns of a byte of x + 32768, for every row. */
TARGET static INLINE __m512i VARIANT(four)(const uint8_t *bytes) {
    int32_t columns;
    __builtin_memcpy(&columns, bytes, sizeof columns);
    return _mm512_set1_epi32(columns);
}

TARGET static void VARIANT(product)(int32_t *y, const struct matrix *matrix, const int16_t *x) {
    const size_t stride = PANEL * matrix->columns;
    uint8_t high[MOST_COLUMNS], low[MOST_COLUMNS];
    const int8_t *w = matrix->weights;
    size_t row = 0, column;
    for (column = 0; column < matrix->columns; column++) {
        high[column] = (uint8_t)((x[column] + 32768) >> 8);
        low[column] = (uint8_t)x[column];
    }
#define ADDED(k)                                                                                   \
    of = LOAD(w + (k)*stride + PANEL * column);                                                    \
    highs[k] = _mm512_dpbusd_epi32(highs[k], h, of);                                               \
    lows[k] = _mm512_dpbusd_epi32(lows[k], l, of)
    for (; row + 4 * PANEL <= matrix->rows; row += 4 * PANEL, w += 4 * stride) {
        __m512i highs[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                            _mm512_setzero_si512()};
        __m512i lows[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                           _mm512_setzero_si512()};
        for (column = 0; column < matrix->columns; column += 4) {
            const __m512i h = VARIANT(four)(high + column), l = VARIANT(four)(low + column);
            __m512i of;
            ADDED(0);
            ADDED(1);
            ADDED(2);
            ADDED(3);
        }
        VARIANT(scale)(y, matrix, row, highs[0], lows[0]);
        VARIANT(scale)(y, matrix, row + PANEL, highs[1], lows[1]);
        VARIANT(scale)(y, matrix, row + 2 * PANEL, highs[2], lows[2]);
        VARIANT(scale)(y, matrix, row + 3 * PANEL, highs[3], lows[3]);
    }
    for (; row < matrix->rows; row += PANEL, w += stride) {
        __m512i highs[1] = {_mm512_setzero_si512()}, lows[1] = {_mm512_setzero_si512()};
        for (column = 0; column < matrix->columns; column += 4) {
            const __m512i h = VARIANT(four)(high + column), l = VARIANT(four)(low + column);
            __m512i of;
            ADDED(0);
        }
        VARIANT(scale)(y, matrix, row, highs[0], lows[0]);
    }
#undef ADDED
}

/* 32 numbers at a time, as 16 bits: packing and unpacking mix their order in the same way. */
TARGET static INLINE __m512i VARIANT(squashed)(__m512i x, __m512i more, int bits) {
    const __m512i top = _mm512_set1_epi32((SEGMENTS << bits) - 1);
    const __m512i rest = _mm512_set1_epi32((1 << bits) - 1);
    const __m512i in = _mm512_min_epu32(_mm512_abs_epi32(x), top);
    const __m512i in_more = _mm512_min_epu32(_mm512_abs_epi32(more), top);
    const __m512i segment =
        _mm512_packus_epi32(_mm512_srli_epi32(in, bits), _mm512_srli_epi32(in_more, bits));
    const __m512i t = _mm512_slli_epi16(
        _mm512_packus_epi32(_mm512_and_si512(in, rest), _mm512_and_si512(in_more, rest)), 15 - bits);
#define TAKEN(table) _mm512_permutex2var_epi16(LOAD(table), segment, LOAD((table) + 32))
#define ADDED(a, b) _mm512_add_epi16(a, _mm512_mulhrs_epi16(b, t))
    return ADDED(TAKEN(squash_0), ADDED(TAKEN(squash_1), TAKEN(squash_2)));
#undef TAKEN
#undef ADDED
}

/* y with the sign of x. */
TARGET static INLINE __m512i VARIANT(signed)(__m512i y, __m512i x) {
    return _mm512_mask_sub_epi32(y, _mm512_movepi32_mask(x), _mm512_setzero_si512(), y);
}

TARGET static void VARIANT(tanhs)(int32_t *to, const int32_t *x, size_t size) {
    const __m512i zero = _mm512_setzero_si512();
    size_t k;
    for (k = 0; k < size; k += 32) {
        const __m512i a = LOAD(x + k), b = LOAD(x + k + 16);
        const __m512i y = VARIANT(squashed)(a, b, OUTPUT_BITS - 3);
        STORE(to + k, VARIANT(signed)(_mm512_unpacklo_epi16(y, zero), a));
        STORE(to + k + 16, VARIANT(signed)(_mm512_unpackhi_epi16(y, zero), b));
    }
}

#if GATES
TARGET static void VARIANT(gates)(int32_t *to, const int32_t *x, size_t size) {
    const __m512i zero = _mm512_setzero_si512(), half = _mm512_set1_epi32(1 << 14);
    size_t k;
    for (k = 0; k < size; k += 32) {
        const __m512i a = LOAD(x + k), b = LOAD(x + k + 16);
        __m512i y = VARIANT(squashed)(a, b, OUTPUT_BITS - 2);
        y = _mm512_avg_epu16(y, zero); /* rounds up */
        STORE(to + k, _mm512_add_epi32(half, VARIANT(signed)(_mm512_unpacklo_epi16(y, zero), a)));
        STORE(to + k + 16,
              _mm512_add_epi32(half, VARIANT(signed)(_mm512_unpackhi_epi16(y, zero), b)));
    }
}
#endif
#undef LOAD
#undef STORE
