#define LOAD(from) _mm256_loadu_si256((const void *)(from))
#define STORE(to, x) _mm256_storeu_si256((void *)(to), x)

/* The sums of eight rows, scaled. There is no arithmetic shift of 64 bits here: what is shifted is
   made positive first. */
TARGET static INLINE void VARIANT(scale)(int32_t *y, const struct matrix *matrix, size_t row,
                                         __m256i sum) {
    const __m256i half = _mm256_set1_epi64x((1LL << 62) + (1LL << (matrix->shift - 1)));
    const __m256i offset = _mm256_set1_epi32((int32_t)(1LL << 62 >> matrix->shift));
    const __m128i shift = _mm_cvtsi32_si128(matrix->shift);
    const __m256i by = LOAD(matrix->multipliers + row);
    __m256i even = _mm256_mul_epi32(sum, by);
    __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(sum, 32), _mm256_srli_epi64(by, 32));
    even = _mm256_srl_epi64(_mm256_add_epi64(even, half), shift);
    odd = _mm256_srl_epi64(_mm256_add_epi64(odd, half), shift);
    sum = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    STORE(y + row, _mm256_add_epi32(_mm256_sub_epi32(sum, offset), LOAD(matrix->bias + row)));
}

TARGET static void VARIANT(product)(int32_t *y, const struct matrix *matrix, const int16_t *x) {
    const __m256i in_order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
    const int8_t *w = matrix->weights;
    size_t row, column;
    for (row = 0; row < matrix->rows; row += PANEL) {
        /* Of each row, the sums of the even pairs of columns and those of the odd ones. */
        __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
        for (column = 0; column < matrix->columns; column += 4, w += 4 * PANEL) {
            int64_t four;
            __m256i of;
            __builtin_memcpy(&four, x + column, sizeof four);
            of = _mm256_set1_epi64x(four);
#define ADDED(sum, k)                                                                              \
    _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(                  \
                                                (const void *)(w + 16 * (k)))),                    \
                                            of))
            a = ADDED(a, 0);
            b = ADDED(b, 1);
            c = ADDED(c, 2);
            d = ADDED(d, 3);
#undef ADDED
        }
        VARIANT(scale)(y, matrix, row, _mm256_permutevar8x32_epi32(_mm256_hadd_epi32(a, b), in_order));
        VARIANT(scale)
        (y, matrix, row + 8, _mm256_permutevar8x32_epi32(_mm256_hadd_epi32(c, d), in_order));
    }
}

TARGET static INLINE __m256i VARIANT(squashed)(__m256i x, int bits) {
    const __m256i top = _mm256_set1_epi32((SEGMENTS << bits) - 1);
    const __m256i half = _mm256_set1_epi32(1 << 14);
    const __m256i in = _mm256_min_epu32(_mm256_abs_epi32(x), top);
    const __m256i segment = _mm256_srli_epi32(in, bits);
    const __m256i t = _mm256_slli_epi32(
        _mm256_and_si256(in, _mm256_set1_epi32((1 << bits) - 1)), 15 - bits);
#define TAKEN(table)                                                                               \
    _mm256_srai_epi32(                                                                             \
        _mm256_slli_epi32(_mm256_i32gather_epi32((const int *)(const void *)(table), segment, 2), 16), 16)
#define ADDED(a, b) _mm256_add_epi32(a, _mm256_srai_epi32(_mm256_add_epi32(_mm256_mullo_epi32(b, t), half), 15))
    return ADDED(TAKEN(squash_0), ADDED(TAKEN(squash_1), TAKEN(squash_2)));
#undef TAKEN
#undef ADDED
}

TARGET static void VARIANT(tanhs)(int32_t *to, const int32_t *x, size_t size) {
    size_t k;
    for (k = 0; k < size; k += 8)
        STORE(to + k, _mm256_sign_epi32(VARIANT(squashed)(LOAD(x + k), OUTPUT_BITS - 3), LOAD(x + k)));
}

#if GATES
TARGET static void VARIANT(gates)(int32_t *to, const int32_t *x, size_t size) {
    const __m256i half = _mm256_set1_epi32(1 << 14);
    size_t k;
    for (k = 0; k < size; k += 8) {
        __m256i y = VARIANT(squashed)(LOAD(x + k), OUTPUT_BITS - 2);
        y = _mm256_srli_epi32(_mm256_add_epi32(y, _mm256_set1_epi32(1)), 1);
        STORE(to + k, _mm256_add_epi32(half, _mm256_sign_epi32(y, LOAD(x + k))));
    }
}
#endif
#undef LOAD
#undef STORE
