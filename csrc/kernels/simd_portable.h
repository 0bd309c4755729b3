/* No intrinsics: 4 floats in the vector type that gcc and clang have on every machine. */
#include <math.h>
#include <string.h>

#include "kernels/simd.h"

enum { VL = 4 };
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

GM_INLINE vf v_zero(void) { return (vf){0, 0, 0, 0}; }
GM_INLINE vf v_set1(float s) { return (vf){s, s, s, s}; }
GM_INLINE vf v_load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
GM_INLINE void v_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
GM_INLINE void v_stream(float *p, vf v) { v_store(p, v); }
GM_INLINE void v_streamed(void) {}
GM_INLINE vf v_load_n(const float *p, int64_t n) {
    if (n >= VL) return v_load(p);
    return (vf){n > 0 ? p[0] : 0, n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0};
}
GM_INLINE void v_store_n(float *p, vf v, int64_t n) {
    if (n >= VL) {
        v_store(p, v);
        return;
    }
    if (n > 0) p[0] = v[0];
    if (n > 1) p[1] = v[1];
    if (n > 2) p[2] = v[2];
}
GM_INLINE vf v_choose(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }
GM_INLINE vf v_add(vf a, vf b) { return a + b; }
GM_INLINE vf v_sub(vf a, vf b) { return a - b; }
GM_INLINE vf v_mul(vf a, vf b) { return a * b; }
GM_INLINE vf v_div(vf a, vf b) { return a / b; }
GM_INLINE vf v_min(vf a, vf b) { return v_choose(a < b, a, b); }
GM_INLINE vf v_max(vf a, vf b) { return v_choose(a > b, a, b); }
GM_INLINE vf v_sqrt(vf a) { return (vf){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])}; }
GM_INLINE vf v_abs(vf a) { return (vf)((vi)a & 0x7fffffff); }
GM_INLINE vf v_fma(vf a, vf b, vf c) { return a * b + c; }
GM_INLINE vf v_below_zero(vf x, vf a, vf b) { return v_choose(x < v_zero(), a, b); }
GM_INLINE vf v_round(vf x) {
    /* Adding and taking away 1.5 * 2^23 leaves the nearest integer; beyond 2^22 kernels do not round. */
    const vf big = v_set1(12582912.0f);
    return (x + big) - big;
}
GM_INLINE vf v_pow2(vf x) { return (vf)((__builtin_convertvector(x, vi) + 127) << 23); }
#if defined(__clang__) || __GNUC__ >= 12
GM_INLINE vf v_zip_low(vf a, vf b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
GM_INLINE vf v_zip_high(vf a, vf b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
#else
GM_INLINE vf v_zip_low(vf a, vf b) { return __builtin_shuffle(a, b, (vi){0, 4, 1, 5}); }
GM_INLINE vf v_zip_high(vf a, vf b) { return __builtin_shuffle(a, b, (vi){2, 6, 3, 7}); }
#endif
GM_INLINE void v_turn(vf row[VL]) {
    vf a = v_zip_low(row[0], row[2]), b = v_zip_high(row[0], row[2]);
    vf c = v_zip_low(row[1], row[3]), d = v_zip_high(row[1], row[3]);
    row[0] = v_zip_low(a, c), row[1] = v_zip_high(a, c), row[2] = v_zip_low(b, d), row[3] = v_zip_high(b, d);
}
GM_INLINE float v_sum(vf v) { return (v[0] + v[2]) + (v[1] + v[3]); }
GM_INLINE float v_peak(vf v) { return fmaxf(fmaxf(v[0], v[2]), fmaxf(v[1], v[3])); }

#include "kernels/simd_bf16.h"
