/* The machine's limit: independent fused multiply-adds in registers, as wide as the kernels in use, on all threads. */
#ifndef LIMIT_H
#define LIMIT_H

/* FLOP/s of one run of some tens of milliseconds. */
double limit(void);

#endif
