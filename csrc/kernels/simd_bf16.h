/* Vectors of bfloat16 (bfloat.h) for sets of instructions that know nothing of them, in the vector types that gcc and clang
 * have on every machine. Included at the end of their simd_*.h. */
#include <stdint.h>
#include <string.h>

typedef uint32_t v_words __attribute__((vector_size(4 * VL)));
typedef uint16_t v_halves __attribute__((vector_size(2 * VL)));

/* Fewer than a vector's. */
GM_INLINE void copy_halves(void *to, const void *from, int64_t n) {
    for (int i = 0; i < VL - 1 && i < n; i++) memcpy((char *)to + 2 * i, (const char *)from + 2 * i, 2);
}

GM_INLINE vf v_load_bf16(const void *p, int64_t n) {
    v_halves halves = {0};
    if (n >= VL)
        memcpy(&halves, p, sizeof halves);
    else
        copy_halves(&halves, p, n);
    return (vf)(__builtin_convertvector(halves, v_words) << 16);
}

GM_INLINE void v_store_bf16(void *p, vf v, int64_t n) {
    v_words bits = (v_words)v, nearest = bits + (((bits >> 16) & 1u) + 0x7FFFu);
    v_words nan = (v_words)((bits & 0x7FFFFFFFu) > 0x7F800000u);
    v_words rounded = (nan & (bits | 0x400000u)) | (~nan & nearest);
    v_halves halves = __builtin_convertvector(rounded >> 16, v_halves);
    if (n >= VL)
        memcpy(p, &halves, sizeof halves);
    else
        copy_halves(p, &halves, n);
}

GM_INLINE void v_stream_bf16(void *p, vf v) { v_store_bf16(p, v, VL); }
