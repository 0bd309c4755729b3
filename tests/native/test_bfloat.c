/* Rounding to bfloat16 against the nearest of the two candidates in float64, by every instruction set.
 *
 * The list GM_BFLOAT_KERNELS makes the case: a kernel without a try_ here does not compile. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "variants.h"

static float of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A finite bfloat16's value; what would come after the largest is 2^128. */
static double candidate(uint32_t upper) { return upper == 0x7F80u ? ldexp(1, 128) : (double)of_bits(upper << 16); }

static uint32_t nearest(float value) {
    uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000u, down = bits >> 16 & 0x7FFFu, up = down + 1;
    if (!isfinite(value)) return bits >> 16;
    double below = fabs((double)value) - candidate(down), above = candidate(up) - fabs((double)value);
    return sign | (below < above || (below == above && down % 2 == 0) ? down : up);
}

static void expect(uint32_t got, float value, const char *name) {
    if (isnan(value))
        CHECK(isnan(of_bits(got << 16)), "%s: %08x becomes %04x, no NaN", name, bits_of(value), got);
    else
        CHECK(got == nearest(value), "%s: %08x becomes %04x, nearest is %04x", name, bits_of(value), got,
              nearest(value));
}

/* All upper halves, and lower ones about the middle and at the ends. */
static void try_bf16_round(void) {
    static const uint32_t lower[] = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
    enum { COUNT = 1 << 16, LOWER = sizeof lower / sizeof *lower };
    check_buffer x = check_floats(COUNT), out = check_floats(COUNT);
    for (int i = 0; i < LOWER; i++) {
        for (uint32_t upper = 0; upper < COUNT; upper++) x.values[upper] = of_bits(upper << 16 | lower[i]);
        EACH_VARIANT(k) {
            k->bf16_round(COUNT, x.values, out.values);
            for (int j = 0; j < COUNT; j++) {
                expect(bits_of(out.values[j]) >> 16, x.values[j], gm_isa_name((gm_isa)isa));
                CHECK((bits_of(out.values[j]) & 0xFFFFu) == 0, "%d", j);
            }
        }
    }
    check_free(&x);
    check_free(&out);
}

static void expect_pair(float pair, float first, float second, const char *name) {
    expect(bits_of(pair) & 0xFFFFu, first, name);
    expect(bits_of(pair) >> 16, second, name);
}

enum { MOST = 70 };

static void try_bf16_pair(void) {
    gm_random random = {.seed = 1, .stream = 1};
    for (int64_t n = 1; n < MOST; n++) {
        check_buffer x = check_normal(n, &random), y = check_normal(n, &random), out = check_floats(n);
        EACH_VARIANT(k) {
            const char *name = gm_isa_name((gm_isa)isa);
            k->bf16_pair(GM_BF16_ROUNDED, n, x.values, y.values, out.values);
            for (int64_t i = 0; i < n; i++) expect_pair(out.values[i], x.values[i], y.values[i], name);
            k->bf16_pair(GM_BF16_ROUNDED, n, x.values, NULL, out.values);
            for (int64_t i = 0; i < n; i++) expect_pair(out.values[i], x.values[i], 0, name);
            check_guards(&out, name);
        }
        check_free(&x), check_free(&y), check_free(&out);
    }
}

static void try_bf16_pair_neighbours(void) {
    gm_random random = {.seed = 2, .stream = 1};
    for (int64_t n = 1; n < MOST; n++) {
        check_buffer x = check_normal(n, &random), out = check_floats((n + 1) / 2);
        EACH_VARIANT(k) {
            const char *name = gm_isa_name((gm_isa)isa);
            k->bf16_pair_neighbours(GM_BF16_ROUNDED, n, x.values, out.values);
            for (int64_t i = 0; i < (n + 1) / 2; i++)
                expect_pair(out.values[i], x.values[2 * i], 2 * i + 1 < n ? x.values[2 * i + 1] : 0, name);
            check_guards(&out, name);
        }
        check_free(&x), check_free(&out);
    }
}

/* `n` random values that bfloat16 has, as floats, and in pairs. */
static check_buffer rounded_normal(int64_t n, gm_random *random, check_buffer *in_pairs) {
    const gm_kernels *plain = gm_kernels_of(GM_ISA_PORTABLE);
    check_buffer x = check_normal(n, random);
    *in_pairs = check_floats(n / 2);
    plain->bf16_round(n, x.values, x.values);
    plain->bf16_pair_neighbours(GM_BF16_ROUNDED, n, x.values, in_pairs->values);
    return x;
}

static void try_bf16_floats(void) {
    gm_random random = {.seed = 4, .stream = 1};
    for (int64_t n = 2; n < 2 * MOST; n += 2) {
        check_buffer in_pairs, x = rounded_normal(n, &random, &in_pairs), out = check_floats(n);
        EACH_VARIANT(k) {
            k->bf16_floats(n, in_pairs.values, out.values);
            CHECK(memcmp(out.values, x.values, (size_t)n * sizeof(float)) == 0, "%s, %d", gm_isa_name((gm_isa)isa),
                  (int)n);
            check_guards(&out, gm_isa_name((gm_isa)isa));
        }
        check_free(&x), check_free(&in_pairs), check_free(&out);
    }
}

static void try_bf16_pair_values(void) {
    gm_random random = {.seed = 5, .stream = 1};
    for (int64_t n = 2; n < 2 * MOST; n += 2) {
        check_buffer x_pairs, y_pairs, out = check_floats(n);
        check_buffer x = rounded_normal(n, &random, &x_pairs), y = rounded_normal(n, &random, &y_pairs);
        EACH_VARIANT(k) {
            const char *name = gm_isa_name((gm_isa)isa);
            k->bf16_pair_values(n, x_pairs.values, y_pairs.values, out.values);
            for (int64_t i = 0; i < n; i++) expect_pair(out.values[i], x.values[i], y.values[i], name);
            k->bf16_pair_values(n, x_pairs.values, NULL, out.values);
            for (int64_t i = 0; i < n; i++) expect_pair(out.values[i], x.values[i], 0, name);
            check_guards(&out, name);
        }
        check_buffer *all[] = {&x, &y, &x_pairs, &y_pairs, &out};
        for (int i = 0; i < 5; i++) check_free(all[i]);
    }
}

/* Both parts of every upper half and of lower ones about the middle and at the ends, by either kernel. */
TEST(high_and_low_parts) {
    static const uint32_t lower[] = {0, 1, 0x1234, 0x7FFF, 0x8000, 0x8001, 0xFEDC, 0xFFFF};
    enum { COUNT = 1 << 16, LOWER = sizeof lower / sizeof *lower };
    check_buffer x = check_floats(COUNT), high = check_floats(COUNT), low = check_floats(COUNT);
    check_buffer neighbours = check_floats(COUNT / 2);
    for (int i = 0; i < LOWER; i++) {
        for (uint32_t upper = 0; upper < COUNT; upper++) x.values[upper] = of_bits(upper << 16 | lower[i]);
        EACH_VARIANT(k) {
            k->bf16_pair(GM_BF16_HIGH, COUNT, x.values, x.values, high.values);
            k->bf16_pair(GM_BF16_LOW, COUNT, x.values, x.values, low.values);
            for (int j = 0; j < COUNT; j++) {
                float value = x.values[j], h = of_bits(bits_of(high.values[j]) << 16);
                float l = of_bits(bits_of(low.values[j]) << 16);
                CHECK(bits_of(high.values[j]) >> 16 == bits_of(h) >> 16, "%08x: two parts", bits_of(value));
                CHECK(bits_of(low.values[j]) >> 16 == bits_of(l) >> 16, "%08x: two parts", bits_of(value));
                if (!isfinite(value)) {
                    CHECK((isnan(value) ? isnan(h) : h == value) && l == 0, "%08x", bits_of(value));
                    continue;
                }
                CHECK(isfinite(h) && isfinite(l), "%s: %a becomes %a and %a", gm_isa_name((gm_isa)isa), (double)value,
                      (double)h, (double)l);
                check_near((double)h + (double)l, (double)value, 0x1p-16 * fabs((double)value) + 0x1p-134,
                           gm_isa_name((gm_isa)isa), j);
            }
            for (int part = GM_BF16_HIGH; part <= GM_BF16_LOW; part++) {
                const check_buffer *by_itself = part == GM_BF16_HIGH ? &high : &low;
                k->bf16_pair_neighbours((gm_bf16_part)part, COUNT, x.values, neighbours.values);
                for (int j = 0; j < COUNT; j++) {
                    uint32_t got = bits_of(neighbours.values[j / 2]) >> (j % 2 ? 16 : 0) & 0xFFFFu;
                    CHECK(got == bits_of(by_itself->values[j]) >> 16, "%s: neighbour %d", gm_isa_name((gm_isa)isa), j);
                }
            }
        }
    }
    check_buffer *all[] = {&x, &high, &low, &neighbours};
    for (int i = 0; i < 4; i++) check_free(all[i]);
}

/* Where an instruction makes them, but for values that it, as those that multiply, takes for zeros. */
TEST(pairs_by_instruction) {
    enum { LENGTH = 77 };
    const gm_kernels *fast = gm_kernels_for(GM_BF16_PAIRS), *plain = gm_kernels_of(GM_ISA_PORTABLE);
    gm_random random = {.seed = 3, .stream = 1};
    for (int round = 0; fast && round < 200; round++) {
        check_buffer x = check_normal(LENGTH, &random), y = check_normal(LENGTH, &random);
        check_buffer got = check_floats(LENGTH), wanted = check_floats(LENGTH);
        for (int i = 0; i < LENGTH; i++) x.values[i] = ldexpf(x.values[i], (i * 7 + round) % 130 - 60);
        if (round % 4) x.values[round % LENGTH] = (float[]){0, NAN, -FLT_MAX, INFINITY}[round % 4];
        for (int part = GM_BF16_ROUNDED; part <= GM_BF16_LOW; part++)
            for (int form = 0; form < 3; form++) {
                const gm_kernels *kernels[] = {fast, plain};
                float *to[] = {got.values, wanted.values};
                int64_t count = form == 2 ? (LENGTH + 1) / 2 : LENGTH;
                for (int k = 0; k < 2; k++)
                    if (form == 2)
                        kernels[k]->bf16_pair_neighbours((gm_bf16_part)part, LENGTH, x.values, to[k]);
                    else
                        kernels[k]->bf16_pair((gm_bf16_part)part, LENGTH, x.values, form ? y.values : NULL, to[k]);
                for (int64_t i = 0; i < count; i++)
                    for (int half = 0; half < 32; half += 16) {
                        float a = of_bits(bits_of(got.values[i]) >> half << 16);
                        float b = of_bits(bits_of(wanted.values[i]) >> half << 16);
                        CHECK(a == b || (isnan(a) && isnan(b)), "part %d, form %d, pair %d: %a, must be %a", part, form,
                              (int)i, (double)a, (double)b);
                    }
                check_guards(&got, "by instruction");
            }
        check_buffer *all[] = {&x, &y, &got, &wanted};
        for (int i = 0; i < 4; i++) check_free(all[i]);
    }
}

TEST(every_kernel) {
#define RUN(type, name, parameters) try_##name();
    GM_BFLOAT_KERNELS(RUN)
#undef RUN
}

MAIN(CASE(every_kernel), CASE(high_and_low_parts), CASE(pairs_by_instruction))
