/* TITLE */
#include "model.h"

#ifndef VARIANT /* the part that is compiled once */

/* A product is W x for 8-bit weights and 16-bit x, summed in 32 bits; its rows are then scaled, each
   by a multiplier of its own. Weights lie in panels of PANEL rows, of each four columns at a time;
   rows and columns of zeros fill the last. */
/* SIZES */

#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define ALIGNED __attribute__((aligned(64)))
#else
#define INLINE inline
#define ALIGNED
#endif
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__)) && __STDC_HOSTED__ &&          \
    !defined(MODEL_PLAIN)
#define CHOOSES
#include <immintrin.h>
#endif
#if defined(__aarch64__) && defined(__ARM_NEON) && !defined(MODEL_PLAIN)
#define PLAIN_WIDE 128 /* every such processor has it */
#include <arm_neon.h>
#else
#define PLAIN_WIDE 0
#endif
#if PLAIN_WIDE && defined(__ARM_FEATURE_DOTPROD)
#define PLAIN_DOTS 1
#else
#define PLAIN_DOTS 0
#endif
#if PLAIN_WIDE && !PLAIN_DOTS && defined(__linux__) && __STDC_HOSTED__ && defined(__GNUC__) &&     \
    (defined(__clang__) ? __clang_major__ >= 17 : __GNUC__ >= 10)
#define CHOOSES_DOTS
#include <sys/auxv.h>
#endif

/* WEIGHTS */

struct matrix {
    const int8_t *weights;
    const int32_t *multipliers, *bias;
#ifdef CHOOSES
    const int32_t *offsets; /* what 32768 adds to the sums if it is added to all of x */
#endif
    size_t rows; /* whole panels */
    size_t second; /* where each row is the sum of two, from here on are the second ones */
    size_t columns; /* a multiple of 4 */
    int shift;
};

struct layer {
    struct matrix input, hidden;
};

/* LAYERS */

/* x / 2^bits to the nearest number, halves upwards. Compilers shift negative numbers as they
   divide, rounding down; this array has no size where one does not. */
#define ROUNDED(x, bits) (((x) + (1 << (bits)) / 2) >> (bits))
typedef char model_shifts_round_down[-3 >> 1 == -2 ? 1 : -1];

#if GATES
/* Of a number of at most 30 bits, the part that `share` says in units of 1 / 2^15; rounded. */
static INLINE int32_t part(int32_t share, int32_t x) {
    return share * (x >> 15) + ROUNDED(share * (x & 32767), 15);
}

#endif
#if TEXT
/* LOOKUP */

#endif
/* The functions below, compiled for any processor, and on x86 and 64-bit Arm also for newer ones, to
   choose from when the program runs; integers are the same in all. Define MODEL_PLAIN to leave those out. */
#define VARIANT(name) name##_plain
#define TARGET
#define WIDE PLAIN_WIDE
#define DOTS PLAIN_DOTS
#include "model.c"
#undef VARIANT
#undef TARGET
#undef WIDE
#undef DOTS

#ifdef CHOOSES_DOTS
#define VARIANT(name) name##_dots
#ifdef __clang__
#define TARGET __attribute__((target("dotprod")))
#else
#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#define WIDE 128
#define DOTS 1
#include "model.c"
#undef VARIANT
#undef TARGET
#undef WIDE
#undef DOTS
#endif

#ifdef CHOOSES
#define VARIANT(name) name##_avx2
#define TARGET __attribute__((target("avx2")))
#define WIDE 256
#include "model.c"
#undef VARIANT
#undef TARGET
#undef WIDE

#define VARIANT(name) name##_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vnni")))
#define WIDE 512
#include "model.c"
#undef VARIANT
#undef TARGET
#undef WIDE
#endif

void model_init(int32_t *state) {
    size_t k;
    for (k = 0; k < MODEL_STATE; k++)
        state[k] = 0;
}

void model_run(int32_t *state, const INPUT *input, int32_t *output, size_t steps) {
#ifdef CHOOSES
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq")) {
        run_avx512(state, input, output, steps);
        return;
    }
    if (__builtin_cpu_supports("avx2")) {
        run_avx2(state, input, output, steps);
        return;
    }
#endif
#ifdef CHOOSES_DOTS
    if (getauxval(AT_HWCAP) & 1UL << 20) { /* HWCAP_ASIMDDP */
        run_dots(state, input, output, steps);
        return;
    }
#endif
    run_plain(state, input, output, steps);
}

#if TEXT
void model_step(int32_t *state, int64_t input, int32_t *output) {
    model_run(state, &input, output, 1);
}

void model_logits(const int32_t *state, int32_t *output) {
    int16_t h[COLUMNS];
    narrow_plain(h, state + (LAYERS - 1) * HIDDEN);
    head_plain(h, output);
}
#else
void model_step(int32_t *state, const int16_t *input, int32_t *output) {
    model_run(state, input, output, 1);
}

int16_t model_input(float number, size_t feature) {
    float distance = (number - input_mean[feature]) * input_scale[feature];
    if (!(distance > -32767.0f)) /* NaN too */
        return -32767;
    if (distance > 32767.0f)
        return 32767;
    return (int16_t)(distance < 0.0f ? distance - 0.5f : distance + 0.5f);
}

float model_number(int32_t output, size_t target) {
    return (float)output * output_scale[target] + output_mean[target];
}
#endif

#else /* the part that is compiled for each processor */

/* product: y = bias + W x, in units of 1 / 2^OUTPUT_BITS.
   tanhs:   tanh of each x in units of 1 / 2^OUTPUT_BITS, in units of 1 / 2^15; off by 2 of them.
   gates:   the logistic function, (1 + tanh(x / 2)) / 2, likewise.
   The last two may read and write numbers behind the `size` of theirs, up to a multiple of 32. */
#if WIDE == 512
/* AVX512 */
#elif WIDE == 256
/* AVX2 */
#else
#if WIDE == 128
/* NEON */
#else
/* PLAIN */
#endif
/* FUNCTIONS */
#endif

/* The same where a row may be the sum of two. */
TARGET static INLINE void VARIANT(whole_product)(int32_t *y, const struct matrix *matrix,
                                                 const int16_t *x) {
    size_t k;
    VARIANT(product)(y, matrix, x);
    for (k = 0; k < matrix->second; k++)
        y[k] += y[matrix->second + k];
}

/* A row of h as a product reads it, in units of 1 / 2^15, with zeros behind it. */
TARGET static INLINE void VARIANT(narrow)(int16_t *to, const int32_t *h) {
    size_t k;
    for (k = 0; k < HIDDEN; k++) {
        const int32_t y = ROUNDED(h[k], STATE_BITS - 15);
        to[k] = (int16_t)(y < 32767 ? y : 32767);
    }
    for (k = HIDDEN; k < COLUMNS; k++)
        to[k] = 0;
}

/* STEP */

/* The output that h gives. */
TARGET static void VARIANT(head)(const int16_t *h, int32_t *output) {
    int32_t y[OUTPUT_ROWS];
    size_t k;
    VARIANT(whole_product)(y, &output_layer, h);
    for (k = 0; k < OUTPUTS; k++)
        output[k] = y[k];
}

/* Reads `steps` inputs and carries the state on; an output for each. */
TARGET static void VARIANT(run)(int32_t *state, const INPUT *input, int32_t *output, size_t steps) {
    for (; steps > 0; steps--, input += FEATURES, output += OUTPUTS) {
        int32_t of_x[MOST_ROWS] = {0}, of_h[MOST_ROWS] = {0}, *row = state;
        int16_t h[COLUMNS];
        size_t layer;
#if TEXT
        const int16_t *x = embedding + entry_of(*input) * INPUT_COLUMNS;
#else
        int16_t given[INPUT_COLUMNS] = {0};
        const int16_t *x = given;
        size_t k;
        for (k = 0; k < FEATURES; k++)
            given[k] = input[k];
#endif
        for (layer = 0; layer < LAYERS; layer++, row += HIDDEN) {
            VARIANT(whole_product)(of_x, &layers[layer].input, x);
            VARIANT(narrow)(h, row);
            VARIANT(whole_product)(of_h, &layers[layer].hidden, h);
#if CELL_STATE
            VARIANT(step_layer)(of_x, of_h, row, row + LAYERS * HIDDEN);
#else
            VARIANT(step_layer)(of_x, of_h, row);
#endif
            VARIANT(narrow)(h, row);
            x = h;
        }
        VARIANT(head)(x, output);
    }
}
#endif /* VARIANT */
