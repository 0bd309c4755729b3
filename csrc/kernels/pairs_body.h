/* The bodies of the kernels in pairs.h. Included once by each isa_*.c, after its simd_*.h.
 *
 * Vectors of double in the compiler's own type: a panel is two of them wide. The products are not fused with the sums,
 * so that every set rounds alike. */
#include <stdbool.h>
#include <string.h>

#include "kernels/pairs.h"

typedef double vd __attribute__((vector_size(4 * VL))); /* VL / 2 doubles: as wide as a vf */

GM_INLINE vd vd_load(const double *p) {
    vd v;
    memcpy(&v, p, sizeof v);
    return v;
}
GM_INLINE void vd_store(double *p, vd v) { memcpy(p, &v, sizeof v); }

/* All loops over m and v have constant bounds: so the sums stay in registers. */
GM_INLINE void pair_template(const bool distance, int64_t rows, int64_t D, const double *x, const double *panel,
                             double *out) {
    vd sum[GM_PAIR_ROWS][2] = {{{0}}};
    const double *row[GM_PAIR_ROWS];
    for (int m = 0; m < GM_PAIR_ROWS; m++) row[m] = x + (m < rows ? m : rows - 1) * D;
    for (int64_t d = 0; d < D; d++, panel += VL) {
        vd right[2];
        for (int v = 0; v < 2; v++) right[v] = vd_load(panel + v * (VL / 2));
        for (int m = 0; m < GM_PAIR_ROWS; m++)
            for (int v = 0; v < 2; v++) {
                vd apart = row[m][d] - right[v];
                sum[m][v] += distance ? apart * apart : row[m][d] * right[v];
            }
    }
    for (int m = 0; m < GM_PAIR_ROWS; m++)
        for (int v = 0; v < 2 && m < rows; v++) vd_store(out + m * VL + v * (VL / 2), sum[m][v]);
}

static void product_tile(int64_t rows, int64_t D, const double *x, const double *panel, double *out) {
    pair_template(false, rows, D, x, panel, out);
}

static void distance_tile(int64_t rows, int64_t D, const double *x, const double *panel, double *out) {
    pair_template(true, rows, D, x, panel, out);
}
