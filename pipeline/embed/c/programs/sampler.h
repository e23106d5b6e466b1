/* Draws the next character of a text. */
#ifndef SAMPLER_H
#define SAMPLER_H

#include <stdint.h>

struct sampling {
    float temperature; /* divides the logits; 0 takes the likeliest */
    long top_k;        /* draws from that many likeliest; 0 is off */
    float top_p;       /* draws from the likeliest up to that share; 1 is off */
};

/* The entry drawn from the logits of all entries, of which entry 0 is never drawn; `uniform` is a
   random number from 0 to 1. */
int sample(const float *logits, float uniform, const struct sampling *sampling);

/* The next random number from 0 to 1 by xorshift32; `x` is of `seeded`. */
uint32_t seeded(uint32_t seed);
float next_uniform(uint32_t *x);

#endif
