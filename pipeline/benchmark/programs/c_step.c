/* Prints how many nanoseconds one step of the model in model.h takes, the state carried on: the
   fastest of 20 rounds. Build it with model.c of the same model. */
#define _POSIX_C_SOURCE 199309L
#define MODEL_NAMES
#include "model.h"

#include <stdio.h>
#include <time.h>

int main(void) {
    enum { ROUNDS = 20, STEPS = 5000 };
    static float state[MODEL_STATE], output[MODEL_OUTPUTS];
    double best = 1e30;
    int round, step;
    model_init(state);
    for (round = 0; round < ROUNDS; round++) {
        struct timespec start, end;
        double nanoseconds;
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (step = 0; step < STEPS; step++) {
#if MODEL_TEXT
            model_step(state, model_vocabulary[1 + step % (MODEL_OUTPUTS - 1)], output);
#else
            static float input[MODEL_FEATURES];
            input[0] = output[0] * 0.5f;
            model_step(state, input, output);
#endif
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        nanoseconds = (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);
        if (nanoseconds < best)
            best = nanoseconds;
    }
    printf("%.1f\n", best / STEPS);
    return 0;
}
