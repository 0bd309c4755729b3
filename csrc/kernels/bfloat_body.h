/* Rounding to bfloat16, in loops that compilers turn into vectors. Included once per instruction set. */
#include <stdbool.h>
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

/* The part's, likewise. */
GM_INLINE uint32_t part_bits(const gm_bf16_part part, float value) {
    const uint32_t sign = 0x80000000u, infinity = 0x7F800000u, greatest = 0x7F7F0000u;
    uint32_t bits, rounded = bf16_bits(value);
    if (part == GM_BF16_ROUNDED) return rounded;
    memcpy(&bits, &value, sizeof bits);
    bool finite = (bits & ~sign) < infinity, beyond = finite && (rounded & ~sign) == infinity;
    uint32_t high = beyond ? (bits & sign) | greatest : rounded;
    if (part == GM_BF16_HIGH) return high;
    float left = value - float_of_bits(high);
    memcpy(&bits, &left, sizeof bits);
    return beyond ? bits & 0xFFFF0000u : finite ? bf16_bits(left) : 0;
}

GM_INLINE float pair_of(const gm_bf16_part part, float first, float second) {
    return float_of_bits(part_bits(part, first) >> 16 | part_bits(part, second));
}

static void bf16_round(int64_t n, const float *x, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = float_of_bits(bf16_bits(x[i]));
}

GM_INLINE void make_pairs(const gm_bf16_part part, int64_t n, const float *x, const float *y, float *out) {
    if (y)
        for (int64_t i = 0; i < n; i++) out[i] = pair_of(part, x[i], y[i]);
    else
        for (int64_t i = 0; i < n; i++) out[i] = pair_of(part, x[i], 0.0f);
}

static void bf16_pair(gm_bf16_part part, int64_t n, const float *x, const float *y, float *out) {
    switch (part) { /* constants, so that each loop is compiled for its own */
    case GM_BF16_ROUNDED: make_pairs(GM_BF16_ROUNDED, n, x, y, out); break;
    case GM_BF16_HIGH: make_pairs(GM_BF16_HIGH, n, x, y, out); break;
    case GM_BF16_LOW: make_pairs(GM_BF16_LOW, n, x, y, out); break;
    }
}

GM_INLINE void make_neighbours(const gm_bf16_part part, int64_t n, const float *x, float *out) {
    for (int64_t i = 0; i < n / 2; i++) out[i] = pair_of(part, x[2 * i], x[2 * i + 1]);
    if (n % 2) out[n / 2] = pair_of(part, x[n - 1], 0.0f);
}

static void bf16_pair_neighbours(gm_bf16_part part, int64_t n, const float *x, float *out) {
    switch (part) {
    case GM_BF16_ROUNDED: make_neighbours(GM_BF16_ROUNDED, n, x, out); break;
    case GM_BF16_HIGH: make_neighbours(GM_BF16_HIGH, n, x, out); break;
    case GM_BF16_LOW: make_neighbours(GM_BF16_LOW, n, x, out); break;
    }
}

GM_INLINE uint32_t bits_of_pair(const float *at) {
    uint32_t bits;
    memcpy(&bits, at, sizeof bits);
    return bits;
}

static void bf16_floats(int64_t n, const float *x, float *out) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) v_store(out + i, v_load_bf16(x + i / 2, VL));
    if (i < n) v_store_n(out + i, v_load_bf16(x + i / 2, n - i), n - i);
}

GM_INLINE void put_values(uint32_t x, uint32_t y, float *out) {
    out[0] = float_of_bits((x & 0xFFFFu) | y << 16);
    out[1] = float_of_bits(x >> 16 | (y & 0xFFFF0000u));
}

static void bf16_pair_values(int64_t n, const float *restrict x, const float *restrict y, float *restrict out) {
    if (y)
        for (int64_t i = 0; i < n / 2; i++) put_values(bits_of_pair(x + i), bits_of_pair(y + i), out + 2 * i);
    else
        for (int64_t i = 0; i < n / 2; i++) put_values(bits_of_pair(x + i), 0, out + 2 * i);
}
