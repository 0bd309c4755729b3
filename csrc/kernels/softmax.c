#include "kernels/softmax.h"

#include <math.h>

static int64_t largest(int64_t K, const float *x) {
    int64_t best = 0;
    for (int64_t k = 1; k < K; k++)
        if (x[k] > x[best]) best = k;
    return best;
}

/* sum over k of exp(x[k] - top): at least 1, since one term is the top's. */
static double sum_of_exponentials(int64_t K, const float *x, double top) {
    double sum = 0;
    for (int64_t k = 0; k < K; k++) sum += exp((double)x[k] - top);
    return sum;
}

double gm_softmax_cross_entropy(int64_t N, int64_t K, const float *logits, const int64_t *labels, double scale,
                                float *d, int64_t *correct) {
    double loss = 0;
    *correct = 0;
    for (int64_t n = 0; n < N; n++, logits += K, d += K) {
        int64_t best = largest(K, logits), label = labels[n];
        double top = (double)logits[best], sum = sum_of_exponentials(K, logits, top);
        *correct += best == label;
        for (int64_t k = 0; k < K; k++) {
            if (k == label) loss += log(sum) - ((double)logits[k] - top);
            double probability = exp((double)logits[k] - top) / sum;
            d[k] = (float)(scale * (probability - (k == label)));
        }
    }
    return loss;
}

void gm_softmax(int64_t N, int64_t K, const float *logits, float *probabilities) {
    for (int64_t n = 0; n < N; n++, logits += K, probabilities += K) {
        double top = (double)logits[largest(K, logits)], sum = sum_of_exponentials(K, logits, top);
        for (int64_t k = 0; k < K; k++) probabilities[k] = (float)(exp((double)logits[k] - top) / sum);
    }
}
