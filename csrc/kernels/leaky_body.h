/* The leaky ReLU and its derivative by the outputs y, as the element-wise kernels and the register tiles apply it. Over the
 * names of simd.h; included by other bodies, more than one of which may stand in a file. */
#ifndef GM_KERNELS_LEAKY_BODY_H
#define GM_KERNELS_LEAKY_BODY_H

GM_INLINE vf v_leaky(vf slope, vf x) { return v_below_zero(x, v_mul(slope, x), x); }
GM_INLINE vf v_leaky_backward(vf slope, vf y, vf dy) { return v_below_zero(v_sub(v_zero(), y), dy, v_mul(slope, dy)); }

#endif
