/* Which layers work as one, and what they hand each other how; chosen when the network is made. */
#include "layers/normalised_conv.h"
#include "network/state.h"

int gm_network_before_views(const gm_network *network, int index) {
    int i = index - 1;
    while (i >= 0 && network->nodes[i].layer.ops->is_view) i--;
    return i;
}

/* Layers i and its reader, with nothing between them but the activation that i applies. */
static void join_reader(gm_network *network, int i) {
    gm_node *n = &network->nodes[i];
    int next = n->applied == i + 1 ? i + 2 : i + 1, reader = gm_network_reader(network, i);
    if (reader != next || reader == network->count) return;
    gm_node *to = &network->nodes[reader];
    gm_activation act = gm_network_activation(network, n->applied), gate = gm_network_activation(network, n->gate);
    if (!gm_normalised_conv_pays(&n->layer, act, gate, &to->layer)) return;
    to->made = i;
    n->made_by = reader;
}

static bool is_centred(const gm_network *network, int i) {
    const gm_node *n = &network->nodes[i];
    int reader = gm_network_reader(network, i);
    if (reader == network->count || n->applied != GM_NONE) return false;
    const gm_layer *to = &network->nodes[reader].layer;
    return to->ops->centres_dx && gm_shape_channels(&to->in) == gm_shape_channels(&n->layer.out);
}

void gm_network_fuse(gm_network *network) {
    for (int i = 0; i < network->count; i++) {
        gm_node *n = &network->nodes[i];
        int b = gm_network_before_views(network, i);
        n->applied = n->applied_by = n->gate = n->made = n->made_by = GM_NONE;
        if (b == GM_NONE) continue;
        gm_node *before = &network->nodes[b];
        if (gm_node_is_activation(n) && before->layer.ops->applies_act) {
            n->applied_by = b;
            before->applied = i;
        }
        if (n->layer.ops->applies_act && gm_node_is_activation(before)) {
            n->gate = b;
            before->gated = true;
        }
    }
    for (int i = 0; i < network->count; i++) {
        join_reader(network, i);
        network->nodes[i].centred = is_centred(network, i);
    }
}

int gm_network_reader(const gm_network *network, int index) {
    int i = index + 1;
    while (i < network->count && (network->nodes[i].layer.ops->is_view || network->nodes[i].applied_by == index)) i++;
    return i;
}

bool gm_network_works_in_place(const gm_network *network, int index) {
    const gm_layer *layer = &network->nodes[index].layer;
    return layer->ops->in_place && layer->x_pairs == layer->y_pairs && !network->keeps_signals;
}

static bool takes_pairs(const gm_layer *layer) { return layer->ops->takes_pairs && layer->ops->takes_pairs(layer); }

/* Whether layer `writer` stores its output in pairs for layer `reader`. */
static bool stores_pairs(const gm_network *network, int writer, int reader) {
    if (network->keeps_signals || reader == network->count) return false;
    const gm_node *from = &network->nodes[writer], *to = &network->nodes[reader];
    if (!takes_pairs(&from->layer) || !takes_pairs(&to->layer)) return false;
    bool leaky = from->applied == GM_NONE || gm_node_activation(&network->nodes[from->applied]).kind == GM_LEAKY_RELU;
    int64_t written = gm_shape_channels(&from->layer.out), read = gm_shape_channels(&to->layer.in);
    return leaky && gm_channels_pair(written) && gm_channels_pair(read);
}

void gm_network_choose_storage(gm_network *network) {
    for (int writer = 0; writer < network->count; writer++) {
        if (network->nodes[writer].layer.ops->is_view || network->nodes[writer].applied_by != GM_NONE) continue;
        int reader = gm_network_reader(network, writer);
        bool pairs = stores_pairs(network, writer, reader);
        network->nodes[writer].layer.y_pairs = pairs;
        for (int i = writer + 1; i < reader; i++)
            network->nodes[i].layer.x_pairs = network->nodes[i].layer.y_pairs = pairs;
        if (reader < network->count) network->nodes[reader].layer.x_pairs = pairs;
    }
}
