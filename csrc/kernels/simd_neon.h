/* NEON of 64-bit ARM: 4 floats. Included by isa_neon.c alone. */
#include <arm_neon.h>

#include "kernels/simd.h"

typedef float32x4_t vf;
enum { VL = 4 };

GM_INLINE vf v_zero(void) { return vdupq_n_f32(0.0f); }
GM_INLINE vf v_set1(float s) { return vdupq_n_f32(s); }
GM_INLINE vf v_load(const float *p) { return vld1q_f32(p); }
GM_INLINE void v_store(float *p, vf v) { vst1q_f32(p, v); }
GM_INLINE void v_stream(float *p, vf v) { v_store(p, v); }
GM_INLINE void v_streamed(void) {}
GM_INLINE vf v_load_n(const float *p, int64_t n) {
    if (n >= VL) return v_load(p);
    vf v = n >= 2 ? vcombine_f32(vld1_f32(p), vdup_n_f32(0.0f)) : v_zero();
    if (n == 1) return vsetq_lane_f32(p[0], v, 0);
    return n == 3 ? vsetq_lane_f32(p[2], v, 2) : v;
}
GM_INLINE void v_store_n(float *p, vf v, int64_t n) {
    if (n >= VL) {
        v_store(p, v);
        return;
    }
    if (n >= 2) vst1_f32(p, vget_low_f32(v));
    if (n == 1) vst1q_lane_f32(p, v, 0);
    if (n == 3) vst1q_lane_f32(p + 2, v, 2);
}
GM_INLINE vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
GM_INLINE vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
GM_INLINE vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
GM_INLINE vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
/* By comparison: FMIN and FMAX would keep a NaN of the first operand, where all other sets take the second operand. */
GM_INLINE vf v_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
GM_INLINE vf v_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
GM_INLINE vf v_sqrt(vf a) { return vsqrtq_f32(a); }
GM_INLINE vf v_abs(vf a) { return vabsq_f32(a); }
GM_INLINE vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
GM_INLINE vf v_below_zero(vf x, vf a, vf b) { return vbslq_f32(vcltzq_f32(x), a, b); }
GM_INLINE vf v_round(vf x) { return vrndnq_f32(x); }
GM_INLINE vf v_pow2(vf x) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(x), vdupq_n_s32(127)), 23));
}
GM_INLINE void v_turn(vf row[VL]) {
    vf a = vzip1q_f32(row[0], row[2]), b = vzip2q_f32(row[0], row[2]);
    vf c = vzip1q_f32(row[1], row[3]), d = vzip2q_f32(row[1], row[3]);
    row[0] = vzip1q_f32(a, c), row[1] = vzip2q_f32(a, c), row[2] = vzip1q_f32(b, d), row[3] = vzip2q_f32(b, d);
}
GM_INLINE float v_sum(vf v) {
    float32x2_t s = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(s, 0) + vget_lane_f32(s, 1);
}
GM_INLINE float v_peak(vf v) { return vmaxvq_f32(v); }

#include "kernels/simd_bf16.h"
