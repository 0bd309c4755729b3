/* What the operands of products are. Their sums are float32 always. */
#ifndef GM_KERNELS_PRECISION_H
#define GM_KERNELS_PRECISION_H

typedef enum gm_precision {
    GM_FLOAT32,
    GM_BF16, /* float32 arrays, whose values are rounded to bfloat16 on their way into the products */
    GM_HIGH, /* float32 arrays; each value two of bfloat16 and a product three of them, where these are the faster */
    GM_BF16_PAIRS /* arrays of pairs (bfloat.h), within kernels/ alone: what is summed over is counted in pairs */
} gm_precision;

#endif
