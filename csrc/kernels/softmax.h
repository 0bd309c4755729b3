/* Softmax over classes, and its cross-entropy: N samples, K classes.
 *
 * In double inside, and one sample after the other: there are few numbers, and sums over the batch keep their order. */
#ifndef GM_KERNELS_SOFTMAX_H
#define GM_KERNELS_SOFTMAX_H

#include <stdint.h>

/* logits (N, K), labels (N) in 0..K-1 -> the sum over the batch of -log softmax(logits)[label], in nats;
 * d (N, K) = scale * its gradient, and may be logits. *correct = samples whose largest logit (the first of equal ones)
 * is the label's. Not finite where a logit is not, but for another class's -inf, of probability 0; no finite logits overflow.
 * Any other label counts for nothing. */
double gm_softmax_cross_entropy(int64_t N, int64_t K, const float *logits, const int64_t *labels, double scale,
                                float *d, int64_t *correct);

/* probabilities (N, K) = softmax(logits), and may be logits. */
void gm_softmax(int64_t N, int64_t K, const float *logits, float *probabilities);

#endif
