/* Arrays that are written past the caches: so large that they have left these before anybody reads them. Any other store
 * reads the line that it changes, a third of what such a pass moves. (Two threads, 16 MB to 200 MB, written and then read
 * once: 1.25 to 1.35 times as fast; 8 MB: as fast; less is slower.) */
#ifndef GM_KERNELS_STREAMS_H
#define GM_KERNELS_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sizes.h"

/* Whether rows of so many words are whole lines in `out`: what can be written so. */
static inline bool gm_in_lines(const float *out, int64_t row) {
    return row % GM_LINE_FLOATS == 0 && (uintptr_t)out % (GM_LINE_FLOATS * sizeof *out) == 0;
}

/* And whether that pays for `out`, of so many words. */
static inline bool gm_streams(const float *out, int64_t words, int64_t row) {
    enum { LEAST = 2 << 20 };
    return words >= LEAST && gm_in_lines(out, row);
}

#endif
