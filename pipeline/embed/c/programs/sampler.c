/* Draws the next character of a text, in float32 and in the order that the bundle's format says. */
#define MODEL_NAMES
#include "sampler.h"
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if MODEL_TEXT
enum { SIZE = MODEL_OUTPUTS - 1 };

static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The least distance that is kept by top-k and then by top-p. */
static float least_kept(const float *distance, const struct sampling *sampling) {
    float ordered[SIZE], total = 0, before = 0;
    float limit = sampling->top_p < 1 ? fmaxf(sampling->top_p, 1e-30f) : 2;
    long count = sampling->top_k > 0 && sampling->top_k < SIZE ? sampling->top_k : SIZE, k;
    memcpy(ordered, distance, sizeof ordered);
    qsort(ordered, SIZE, sizeof *ordered, descending);
    for (k = 0; k < count; k++)
        total += expf(ordered[k]);
    for (k = 0; k + 1 < count; k++) {
        before += expf(ordered[k]) / total;
        if (before >= limit)
            break;
    }
    return ordered[k];
}

int sample(const float *logits, float uniform, const struct sampling *sampling) {
    const float *known = logits + 1;
    float divisor = sampling->temperature > 0 ? sampling->temperature : 1e-30f;
    float number = sampling->temperature > 0 && uniform > 0 ? fminf(uniform, 0.99999988f) : 0;
    float distance[SIZE], reached[SIZE], largest = known[0], least = -INFINITY, total = 0;
    int k, entry;
    for (k = 1; k < SIZE; k++)
        largest = fmaxf(largest, known[k]);
    for (k = 0; k < SIZE; k++)
        distance[k] = (known[k] - largest) / divisor;
    if (sampling->top_k > 0 || sampling->top_p < 1)
        least = least_kept(distance, sampling);
    for (k = 0; k < SIZE; k++) {
        total += distance[k] >= least ? expf(distance[k]) : 0;
        reached[k] = total;
    }
    for (entry = 0; entry + 1 < SIZE && reached[entry] <= number * total; entry++)
        continue;
    return entry + 1;
}
#endif

uint32_t seeded(uint32_t seed) { return seed * UINT32_C(0x9E3779B9) | 1; }

float next_uniform(uint32_t *x) {
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return (float)(*x >> 8) / 16777216.0f; /* 2^24 */
}
