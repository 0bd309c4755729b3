/* First values of a layer's parameters. */
#ifndef GM_NETWORK_INITIALIZE_H
#define GM_NETWORK_INITIALIZE_H

#include "layers/layer.h"

/* Random ones depend on (seed, stream of the network, index of the layer) alone. Streams below
 * GM_STREAMS are told apart. */
void gm_layer_initialize(gm_layer *layer, uint64_t seed, uint32_t stream);

#endif
