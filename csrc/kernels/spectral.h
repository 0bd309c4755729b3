/* Spectral normalisation of a kernel (Miyato, Kataoka, Koyama, Yoshida 2018), by one power step a training forward.
 *
 * The kernel (A, O, B) is seen as a matrix W of O rows, the output channels, and A * B columns:
 *     v = unit(W'u),  u = unit(W v),  sigma = u.W v;  unit(x) = x / max(|x|, 1e-12).
 * In inference u stays as it is. Sums are in double. */
#ifndef GM_KERNELS_SPECTRAL_H
#define GM_KERNELS_SPECTRAL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct gm_spectral {
    int64_t A, O, B;
    double *u;     /* (O) */
    double *v;     /* (A, B) */
    double *sigma; /* one value */
} gm_spectral;

/* w (A, O, B), u (O) -> scaled (A, O, B) = w / sigma, and u, v, sigma of `s`; `step`: a training forward. */
void gm_spectral_normalise(const gm_spectral *s, const float *w, const float *u, bool step, float *scaled);

/* dw (A, O, B) += the gradient of w, u and v constant, from that of `scaled`: (dscaled - <dscaled, scaled> u v') / sigma. */
void gm_spectral_backward(const gm_spectral *s, const float *scaled, const float *dscaled, float *dw);

/* u (O) = this power step's. */
void gm_spectral_commit(const gm_spectral *s, float *u);

#endif
