/* The order in which the rows of a batch go to the backend. A backend keeps rows sorted, and looks for the
 * place of each one from the top: rows that come by key find the way there in the processor's cache.
 *
 * Never: a promise of order. Rows come nearly sorted by key; what is found afterwards does not depend on
 * it, since no two rows of a batch have one key.
 *
 * Threads: the writer.
 */
#ifndef MVCC_ORDER_H
#define MVCC_ORDER_H

#include "mvcc/backend.h"

struct order_place;

/* Zeroed memory is ready. */
struct order {
    struct order_place *places;         /* twice capacity */
    struct backend_op *ops;
    size_t capacity;
};

void order_release(struct order *order);
/* The same rows; what is returned lives until the next call, or is ops itself. */
const struct backend_op *order_rows(struct order *order, const struct backend_op *ops, size_t count);

#endif
