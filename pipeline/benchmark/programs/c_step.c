/* Takes a number of rounds and one of steps, and prints how many nanoseconds a step of the model in
   model.h takes, the state carried on: in the fastest round. Build it with model.c of the same
   model, of either target that is C. */
#define _POSIX_C_SOURCE 199309L
#define MODEL_NAMES
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int count, char **words) {
    enum { KEPT = 32 };
    static MODEL_INPUT inputs[KEPT][MODEL_FEATURES];
    static MODEL_WORD state[MODEL_STATE], output[MODEL_OUTPUTS];
    double best = 1e30;
    unsigned random = 1;
    long rounds, steps, step;
    int k;
    if (count != 3 || (rounds = atol(words[1])) < 1 || (steps = atol(words[2])) < 1)
        return 2;
    for (step = 0; step < KEPT; step++) {
        for (k = 0; k < MODEL_FEATURES; k++) {
            random = random * 1664525u + 1013904223u; /* numerical recipes' generator */
#if MODEL_TEXT
            inputs[step][k] = model_vocabulary[1 + (random >> 8) % (MODEL_OUTPUTS - 1)];
#else
            inputs[step][k] = MODEL_GIVEN((float)(random >> 8) / 8388608.0f - 1.0f, k);
#endif
        }
    }
    model_init(state);
    for (; rounds > 0; rounds--) {
        struct timespec start, end;
        double nanoseconds;
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (step = 0; step < steps; step++)
            model_run(state, inputs[step % KEPT], output, 1);
        clock_gettime(CLOCK_MONOTONIC, &end);
        nanoseconds = (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);
        if (nanoseconds < best)
            best = nanoseconds;
    }
    printf("%.1f\n", best / steps);
    return 0;
}
