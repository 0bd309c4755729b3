/* Rounding to bfloat16, in loops that compilers turn into vectors. Included once per instruction set. */
#include <string.h>

/* The float's bits with zeros in the lower half. */
GM_INLINE uint32_t bf16_bits(float value) {
    uint32_t bits, nan = 0x7F800000u;
    memcpy(&bits, &value, sizeof bits);
    uint32_t nearest = bits + 0x7FFFu + ((bits >> 16) & 1u), quiet = bits | 0x400000u;
    return ((bits & 0x7FFFFFFFu) > nan ? quiet : nearest) & 0xFFFF0000u;
}

GM_INLINE float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

GM_INLINE float pair_of(float first, float second) { return float_of_bits(bf16_bits(first) >> 16 | bf16_bits(second)); }

static void bf16_round(int64_t n, const float *x, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = float_of_bits(bf16_bits(x[i]));
}

static void bf16_pair(int64_t n, const float *x, const float *y, float *out) {
    if (y)
        for (int64_t i = 0; i < n; i++) out[i] = pair_of(x[i], y[i]);
    else
        for (int64_t i = 0; i < n; i++) out[i] = pair_of(x[i], 0.0f);
}

static void bf16_pair_neighbours(int64_t n, const float *x, float *out) {
    for (int64_t i = 0; i < n / 2; i++) out[i] = pair_of(x[2 * i], x[2 * i + 1]);
    if (n % 2) out[n / 2] = pair_of(x[n - 1], 0.0f);
}
