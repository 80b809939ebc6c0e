/* The node table: what the kernel calls by nodeid. A nodeid is a slot and its generation, never the
 * file id: two names never share one, and a slot's next life has another nodeid. Slot 1 is the root.
 *
 * A node stands at a place: a parent and a raw key component, below the root's prefix, in the live tree
 * or in the past (revision). Its key is spelled by walking up, so that a renamed directory carries its
 * children along.
 *
 * Invariants
 *   N1  a node lives while the kernel may name it (lookups), or an op, a handle, or a child holds it
 *       (references).
 *   N2  at most one node of a place is current: the one that LOOKUP answers. Others stand there because
 *       handles pinned to an older revision hold them, or became removed.
 *   N3  a removed node (its file is gone, or another one has its name) is never found by place; its
 *       nodeid still resolves until the kernel forgets it.
 *
 * Loop thread alone.
 */
#ifndef FS_NODES_H
#define FS_NODES_H

#include <sys/stat.h>

#include "proto/base/bytes.h"
#include "proto/base/list.h"
#include "proto/kv.h"

#define NODE_ROOT 1

enum node_kind {
    NODE_LIVE,              /* a name of the live tree, or the root */
    NODE_PAST,              /* a name at a revision */
    NODE_SNAPSHOTS,         /* a .snapshot */
    NODE_CONTROL_DIRECTORY, /* .fs */
    NODE_CONTROL_FILE,      /* .fs/status and its like: control says which */
};

/* How the last step of a node's place is spelled in the key. */
enum node_step {
    STEP_COMPONENT,         /* directory of the parent, then name */
    STEP_PARTIAL,           /* as above, but name is only the beginning of a component (a "x%+") */
    STEP_OWN_VALUE,         /* "%@": the parent's own key */
};

struct node {
    /* identity */
    uint64_t id;
    enum node_kind kind;
    enum node_step step;
    struct node *parent;            /* referenced; NULL for the root */
    uint8_t *name;                  /* raw component, or the control file's or snapshot's name; owned */
    uint32_t name_size;
    kv_rev revision;                /* PAST: which; else 0 */
    bool current, removed;
    int control;

    /* life */
    uint64_t lookups;               /* the kernel's count */
    uint32_t references;            /* ops, handles, children */
    struct node *hash_next;

    /* What stood there when it was last looked up (layout.h fills it through cache_told). st_mode's type
     * and st_ino never change in the life of a node. */
    struct {
        bool known;
        struct stat attr;
        kv_rev create_revision, mod_revision, meta_mod_revision;
        kv_rev directory_create_revision;   /* of the directory's record; 0: implicit */
        uint64_t request;       /* fs->requests at the last answer that entered it */
    } told;

    /* handle.c's */
    struct list handles;            /* open handles of this node */
    uint32_t handle_count;
    kv_rev pinned_revision;         /* mod revision its pinned handles are at; 0: none is open. A LOOKUP
                                       that finds another one answers a fresh node */
    uint32_t commits;               /* begun by RELEASE and not yet answered */
    bool pending;                   /* made by CREATE, not yet committed: no key stands there */
    struct handle *saver;           /* whose save is on its way; the others of this node wait */
    kv_rev own_first, own_last;     /* every version after own_first up to own_last was written here */
};

struct nodes {
    struct node **slots;
    uint32_t *generations;          /* of each slot, counted up when its node ends */
    uint32_t slot_count, slot_capacity;
    uint32_t free_first;            /* chain of free slots through free_next */
    uint32_t *free_next;
    struct node **hash;
    uint32_t hash_size, node_count;
    struct node *root;
};

void nodes_init(struct nodes *nodes);
void nodes_release(struct nodes *nodes);        /* every node, whatever holds it */

/* By nodeid; NULL when it is none (a request with a forgotten or made-up id is answered ESTALE). */
struct node *node_by_id(struct nodes *nodes, uint64_t id);
/* The current node of a place; NULL when there is none. revision: 0 for the live tree. */
struct node *node_find(struct nodes *nodes, struct node *parent, enum node_kind kind,
                       enum node_step step, struct bytes name, kv_rev revision);
/* A new node that is current there; one that was loses that. One reference, which the caller holds. */
struct node *node_new(struct nodes *nodes, struct node *parent, enum node_kind kind,
                      enum node_step step, struct bytes name, kv_rev revision);

struct node *node_ref(struct node *node);
void node_unref(struct nodes *nodes, struct node *node);        /* NULL is fine */
/* The kernel has been told of it once more; has forgotten count of those. */
void node_looked_up(struct node *node);
void node_forget(struct nodes *nodes, struct node *node, uint64_t count);

/* The file at this node is gone: it is no longer found by place. */
void node_remove(struct nodes *nodes, struct node *node);
/* Every node at the place moves to another one; what stood there before is removed. */
void node_move(struct nodes *nodes, struct node *parent, struct bytes name, enum node_step step,
               struct node *new_parent, struct bytes new_name, enum node_step new_step);
/* The two places change their nodes. */
void node_exchange(struct nodes *nodes, struct node *parent, struct bytes name, enum node_step step,
                   struct node *new_parent, struct bytes new_name, enum node_step new_step);

static inline struct bytes node_name(const struct node *node)
{
    return bytes_of(node->name, node->name_size);
}

#endif
