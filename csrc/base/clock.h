/* How long something took. */
#ifndef GM_BASE_CLOCK_H
#define GM_BASE_CLOCK_H

/* Seconds since some moment in the past; never runs backwards. */
double gm_clock_seconds(void);

#endif
