#include "fs/nodes.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"

#define FIRST_SLOTS 64
#define NO_SLOT UINT32_MAX

/* nodeid = generation << 32 | slot + 1; the root's is 1. */
static uint64_t id_of(uint32_t slot, uint32_t generation)
{
    return (uint64_t)generation << 32 | (slot + 1);
}

static uint32_t slot_of(uint64_t id) { return (uint32_t)id - 1; }

/* ---- slots ---- */

static void slots_grow(struct nodes *nodes)
{
    uint32_t old = nodes->slot_capacity, capacity = old ? old * 2 : FIRST_SLOTS;
    CHECK(capacity < NO_SLOT / 2);
    nodes->slots = mem_xrealloc(nodes->slots, capacity * sizeof(*nodes->slots));
    nodes->generations = mem_xrealloc(nodes->generations, capacity * sizeof(*nodes->generations));
    nodes->free_next = mem_xrealloc(nodes->free_next, capacity * sizeof(*nodes->free_next));
    memset(nodes->generations + old, 0, (capacity - old) * sizeof(*nodes->generations));
    memset(nodes->slots + old, 0, (capacity - old) * sizeof(*nodes->slots));
    nodes->slot_capacity = capacity;
}

static uint32_t slot_take(struct nodes *nodes)
{
    if (nodes->free_first != NO_SLOT) {
        uint32_t slot = nodes->free_first;
        nodes->free_first = nodes->free_next[slot];
        return slot;
    }
    if (nodes->slot_count == nodes->slot_capacity)
        slots_grow(nodes);
    return nodes->slot_count++;
}

static void slot_give_back(struct nodes *nodes, uint32_t slot)
{
    nodes->slots[slot] = NULL;
    nodes->generations[slot]++;
    nodes->free_next[slot] = nodes->free_first;
    nodes->free_first = slot;
}

struct node *node_by_id(struct nodes *nodes, uint64_t id)
{
    uint32_t slot = slot_of(id);
    if ((uint32_t)id == 0 || slot >= nodes->slot_count || !nodes->slots[slot])
        return NULL;
    return nodes->slots[slot]->id == id ? nodes->slots[slot] : NULL;
}

/* ---- places ---- */

static uint64_t place_hash(const struct node *parent, enum node_kind kind, enum node_step step,
                           struct bytes name, kv_rev revision)
{
    uint64_t seed = parent->id * 31 + (uint64_t)kind * 7 + (uint64_t)step + hash_u64((uint64_t)revision);
    return hash_bytes(seed, name);
}

static struct node **bucket_of(struct nodes *nodes, const struct node *node)
{
    uint64_t hash = place_hash(node->parent, node->kind, node->step, node_name(node), node->revision);
    return &nodes->hash[hash & (nodes->hash_size - 1)];
}

static void hash_insert(struct nodes *nodes, struct node *node)
{
    struct node **bucket = bucket_of(nodes, node);
    node->hash_next = *bucket;
    *bucket = node;
}

static void hash_remove(struct nodes *nodes, struct node *node)
{
    struct node **link = bucket_of(nodes, node);
    while (*link != node) {
        CHECK(*link != NULL);
        link = &(*link)->hash_next;
    }
    *link = node->hash_next;
    node->hash_next = NULL;
}

static void hash_grow(struct nodes *nodes)
{
    free(nodes->hash);
    nodes->hash_size *= 2;
    nodes->hash = mem_xzalloc(nodes->hash_size * sizeof(*nodes->hash));
    for (uint32_t slot = 0; slot < nodes->slot_count; slot++) {
        struct node *node = nodes->slots[slot];
        if (node && node->parent && !node->removed)
            hash_insert(nodes, node);
    }
}

static bool stands_at(const struct node *node, const struct node *parent, enum node_kind kind,
                      enum node_step step, struct bytes name, kv_rev revision)
{
    return node->parent == parent && node->kind == kind && node->step == step &&
           node->revision == revision && bytes_equal(node_name(node), name);
}

struct node *node_find(struct nodes *nodes, struct node *parent, enum node_kind kind,
                       enum node_step step, struct bytes name, kv_rev revision)
{
    uint64_t hash = place_hash(parent, kind, step, name, revision);
    struct node *node = nodes->hash[hash & (nodes->hash_size - 1)];
    while (node && !(node->current && stands_at(node, parent, kind, step, name, revision)))
        node = node->hash_next;
    return node;
}

/* ---- life ---- */

static struct node *node_make(struct nodes *nodes)
{
    struct node *node = mem_xzalloc(sizeof(*node));
    uint32_t slot = slot_take(nodes);
    node->id = id_of(slot, nodes->generations[slot]);
    nodes->slots[slot] = node;
    nodes->node_count++;
    node->references = 1;
    list_init(&node->handles);
    return node;
}

void nodes_init(struct nodes *nodes)
{
    memset(nodes, 0, sizeof(*nodes));
    nodes->free_first = NO_SLOT;
    nodes->hash_size = FIRST_SLOTS;
    nodes->hash = mem_xzalloc(nodes->hash_size * sizeof(*nodes->hash));
    nodes->root = node_make(nodes);
    nodes->root->current = true;
    CHECK(nodes->root->id == NODE_ROOT);
}

void nodes_release(struct nodes *nodes)
{
    for (uint32_t slot = 0; slot < nodes->slot_count; slot++) {
        if (nodes->slots[slot])
            free(nodes->slots[slot]->name);
        free(nodes->slots[slot]);
    }
    free(nodes->slots);
    free(nodes->generations);
    free(nodes->free_next);
    free(nodes->hash);
    memset(nodes, 0, sizeof(*nodes));
}

static void set_name(struct node *node, struct bytes name)
{
    uint8_t *copy = mem_xalloc(name.size ? name.size : 1);
    if (name.size)
        memcpy(copy, name.data, name.size);
    free(node->name);
    node->name = copy;
    node->name_size = (uint32_t)name.size;
}

struct node *node_new(struct nodes *nodes, struct node *parent, enum node_kind kind,
                      enum node_step step, struct bytes name, kv_rev revision)
{
    struct node *old = node_find(nodes, parent, kind, step, name, revision);
    if (old)
        old->current = false;
    if (nodes->node_count >= nodes->hash_size)
        hash_grow(nodes);
    struct node *node = node_make(nodes);
    node->kind = kind;
    node->step = step;
    node->revision = revision;
    node->parent = node_ref(parent);
    node->current = true;
    set_name(node, name);
    hash_insert(nodes, node);
    return node;
}

struct node *node_ref(struct node *node)
{
    node->references++;
    return node;
}

/* Ends every node of the chain upwards that nobody holds any more. */
static void node_end_if_unused(struct nodes *nodes, struct node *node)
{
    while (node && node->references == 0 && node->lookups == 0) {
        struct node *parent = node->parent;
        CHECK(list_is_empty(&node->handles));
        if (parent && !node->removed)
            hash_remove(nodes, node);
        slot_give_back(nodes, slot_of(node->id));
        nodes->node_count--;
        free(node->name);
        free(node);
        if (parent)
            parent->references--;
        node = parent;
    }
}

void node_unref(struct nodes *nodes, struct node *node)
{
    if (!node)
        return;
    CHECK(node->references > 0);
    node->references--;
    node_end_if_unused(nodes, node);
}

void node_looked_up(struct node *node) { node->lookups++; }

void node_forget(struct nodes *nodes, struct node *node, uint64_t count)
{
    node->lookups -= count < node->lookups ? count : node->lookups;
    node_end_if_unused(nodes, node);
}

/* ---- moving ---- */

void node_remove(struct nodes *nodes, struct node *node)
{
    if (node->removed || !node->parent)
        return;
    hash_remove(nodes, node);
    node->removed = true;
    node->current = false;
}

/* Takes every live node of a place out of the table, into a chain through hash_next. */
static struct node *take_place(struct nodes *nodes, struct node *parent, struct bytes name,
                               enum node_step step)
{
    struct node **link =
        &nodes->hash[place_hash(parent, NODE_LIVE, step, name, 0) & (nodes->hash_size - 1)];
    struct node *taken = NULL;
    while (*link) {
        struct node *node = *link;
        if (!stands_at(node, parent, NODE_LIVE, step, name, 0)) {
            link = &node->hash_next;
            continue;
        }
        *link = node->hash_next;
        node->hash_next = taken;
        taken = node;
    }
    return taken;
}

static void put_place(struct nodes *nodes, struct node *chain, struct node *parent, struct bytes name,
                      enum node_step step)
{
    while (chain) {
        struct node *node = chain, *old_parent = node->parent;
        chain = node->hash_next;
        node->parent = node_ref(parent);
        node->step = step;
        set_name(node, name);
        hash_insert(nodes, node);
        node_unref(nodes, old_parent);
    }
}

static void drop_chain(struct node *chain)
{
    while (chain) {
        struct node *node = chain;
        chain = node->hash_next;
        node->hash_next = NULL;
        node->removed = true;
        node->current = false;
    }
}

void node_move(struct nodes *nodes, struct node *parent, struct bytes name, enum node_step step,
               struct node *new_parent, struct bytes new_name, enum node_step new_step)
{
    struct node *moving = take_place(nodes, parent, name, step);
    drop_chain(take_place(nodes, new_parent, new_name, new_step));
    put_place(nodes, moving, new_parent, new_name, new_step);
}

void node_exchange(struct nodes *nodes, struct node *parent, struct bytes name, enum node_step step,
                   struct node *new_parent, struct bytes new_name, enum node_step new_step)
{
    struct node *first = take_place(nodes, parent, name, step);
    struct node *second = take_place(nodes, new_parent, new_name, new_step);
    put_place(nodes, first, new_parent, new_name, new_step);
    put_place(nodes, second, parent, name, step);
}
