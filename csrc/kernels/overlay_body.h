/* Writes this set's kernels over the table. Last of the bodies: every name of the list must be defined by now. */
#include "kernels/table.h"

static bool overlay(gm_kernels *table) {
    table->tile = tile_sizes;
#define GM_ASSIGN(type, name, parameters) table->name = name;
    GM_KERNELS(GM_ASSIGN)
#undef GM_ASSIGN
    return true;
}
