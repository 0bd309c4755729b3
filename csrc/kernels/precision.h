/* What the operands of products are. Their sums are float32 always. */
#ifndef GM_KERNELS_PRECISION_H
#define GM_KERNELS_PRECISION_H

typedef enum gm_precision {
    GM_FLOAT32,
    GM_BF16, /* float32 arrays, whose values are rounded to bfloat16 on their way into the products */
    GM_HIGH, /* float32 arrays; each value two of bfloat16 and a product three of them, where these are the faster */
    /* Within kernels/ alone, arrays of pairs (bfloat.h): what is summed over is counted in pairs. */
    GM_BF16_PAIRS,
    GM_HIGH_PAIRS /* two such arrays, one behind the other: of high parts, and of low ones */
} gm_precision;

#endif
