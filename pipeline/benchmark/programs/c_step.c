/* Prints how many nanoseconds one step of the model in model.h takes, the state carried on: the
   fastest of many rounds. Build it with model.c of the same model. */
#define _POSIX_C_SOURCE 199309L
#define MODEL_NAMES
#include "model.h"

#include <stdio.h>
#include <time.h>

int main(void) {
    enum { ROUNDS = 400, STEPS = 2048, KEPT = 32 };
    static MODEL_INPUT inputs[KEPT][MODEL_FEATURES];
    static float state[MODEL_STATE], output[MODEL_OUTPUTS];
    double best = 1e30;
    unsigned random = 1;
    int round, step, k;
    for (step = 0; step < KEPT; step++) {
        for (k = 0; k < MODEL_FEATURES; k++) {
            random = random * 1664525u + 1013904223u; /* numerical recipes' generator */
#if MODEL_TEXT
            inputs[step][k] = model_vocabulary[1 + (random >> 8) % (MODEL_OUTPUTS - 1)];
#else
            inputs[step][k] = (float)(random >> 8) / 8388608.0f - 1.0f;
#endif
        }
    }
    model_init(state);
    for (round = 0; round < ROUNDS; round++) {
        struct timespec start, end;
        double nanoseconds;
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (step = 0; step < STEPS; step++)
            model_run(state, inputs[step % KEPT], output, 1);
        clock_gettime(CLOCK_MONOTONIC, &end);
        nanoseconds = (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);
        if (nanoseconds < best)
            best = nanoseconds;
    }
    printf("%.1f\n", best / STEPS);
    return 0;
}
