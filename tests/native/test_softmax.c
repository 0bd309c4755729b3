/* Softmax and its cross-entropy against their definitions in float64. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "kernels/softmax.h"

/* log of the sum of exp(x), from the largest on. */
static double log_sum(int64_t K, const float *x) {
    double top = -INFINITY, sum = 0;
    for (int64_t k = 0; k < K; k++) top = (double)x[k] > top ? (double)x[k] : top;
    for (int64_t k = 0; k < K; k++) sum += exp((double)x[k] - top);
    return top + log(sum);
}

static void compare(int64_t N, int64_t K, float scale) {
    gm_random random = {.seed = (uint64_t)(N * K), .stream = 1};
    check_buffer x = check_normal(N * K, &random), d = check_floats(N * K), p = check_floats(N * K);
    int64_t labels[8], correct, right = 0;
    for (int64_t i = 0; i < N * K; i++) x.values[i] *= scale;
    for (int64_t n = 0; n < N; n++) labels[n] = check_between(&random, 0, K - 1);
    double wanted = 0, got = gm_softmax_cross_entropy(N, K, x.values, labels, 0.5, d.values, &correct);
    gm_softmax(N, K, x.values, p.values);
    for (int64_t n = 0; n < N; n++) {
        const float *row = x.values + n * K;
        double all = log_sum(K, row);
        bool largest = true;
        wanted += all - (double)row[labels[n]];
        for (int64_t k = 0; k < K; k++) {
            double probability = exp((double)row[k] - all);
            largest = largest && row[k] <= row[labels[n]];
            check_near((double)p.values[n * K + k], probability, 1e-7, "probability", n * K + k);
            check_near((double)d.values[n * K + k], 0.5 * (probability - (k == labels[n])), 1e-7, "slope", n * K + k);
        }
        right += largest;
    }
    check_near(got, wanted, 1e-12 * (1 + wanted), "loss", N);
    CHECK(correct == right, "%d right, expected %d", (int)correct, (int)right);
    gm_softmax(N, K, x.values, x.values); /* in place */
    CHECK(memcmp(x.values, p.values, (size_t)(N * K) * sizeof(float)) == 0, "in place, %d x %d", (int)N, (int)K);
    check_guards(&x, "logits"), check_guards(&d, "slopes"), check_guards(&p, "probabilities");
    check_free(&x), check_free(&d), check_free(&p);
}

TEST(losses_slopes_and_probabilities) {
    static const int64_t counts[] = {1, 2, 7}, classes[] = {2, 3, 10, 129};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 4; k++) compare(counts[i], classes[k], 1), compare(counts[i], classes[k], 40);
}

/* Logits far out cost what they should; nothing overflows. */
TEST(extreme_logits) {
    float x[] = {3e38f, -3e38f, 0, 1e4f, 1e4f, 1e4f}, d[6], p[6];
    const int64_t wrong[] = {1, 0}, right[] = {0, 0};
    int64_t correct;
    check_near(gm_softmax_cross_entropy(2, 3, x, right, 1, d, &correct), log(3), 1e-12, "loss", 0);
    CHECK(correct == 2, "of equal logits the first counts: %d", (int)correct);
    check_near((double)d[0], 0, 0, "slope", 0);
    check_near(gm_softmax_cross_entropy(2, 3, x, wrong, 1, d, &correct), 6e38, 1e32, "loss", 1);
    check_near((double)d[0], 1, 0, "slope", 0);
    check_near((double)d[1], -1, 0, "slope", 1);
    gm_softmax(2, 3, x, p);
    check_near((double)p[0], 1, 0, "probability", 0);
    check_near((double)p[3], 1.0 / 3, 1e-7, "probability", 3);
}

TEST(logits_that_are_no_numbers_spoil_the_loss) {
    static const float bad[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++)
        for (int place = 0; place < 3; place++) {
            float x[] = {1, 2, 3}, d[3];
            int64_t label = 1, correct;
            x[place] = bad[i];
            double loss = gm_softmax_cross_entropy(1, 3, x, &label, 1, d, &correct);
            CHECK(!isfinite(loss), "%g at %d: loss %g", (double)bad[i], place, loss);
        }
}

/* The gradient may take the place of the logits. */
TEST(gradient_in_place) {
    gm_random random = {.seed = 4, .stream = 2};
    check_buffer x = check_normal(5 * 10, &random), d = check_floats(5 * 10);
    const int64_t labels[] = {3, 0, 9, 9, 5};
    int64_t apart, within;
    double first = gm_softmax_cross_entropy(5, 10, x.values, labels, 0.2, d.values, &apart);
    double second = gm_softmax_cross_entropy(5, 10, x.values, labels, 0.2, x.values, &within);
    CHECK(first == second && apart == within, "%g and %g", first, second);
    CHECK(memcmp(x.values, d.values, 50 * sizeof(float)) == 0, "the gradients differ");
    check_free(&x), check_free(&d);
}

/* Labels that were checked may have been changed since, by another thread: nothing is read where they point. */
TEST(labels_of_no_class_are_no_places) {
    const int64_t labels[] = {INT64_MAX / 8, -(INT64_MAX / 8)};
    for (int i = 0; i < 2; i++) {
        float x[] = {1, 2, 3}, d[3];
        int64_t correct;
        double loss = gm_softmax_cross_entropy(1, 3, x, &labels[i], 1, d, &correct);
        CHECK(loss == 0 && correct == 0, "loss %g, %d right", loss, (int)correct);
    }
}

MAIN(CASE(losses_slopes_and_probabilities), CASE(extreme_logits), CASE(logits_that_are_no_numbers_spoil_the_loss),
     CASE(gradient_in_place), CASE(labels_of_no_class_are_no_places))
