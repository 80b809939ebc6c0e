/* The members that a cluster begins with, as --cluster says them: "a=HOST:PORT,b=HOST:PORT,...". Every one of
 * them is started with the same list, and all ids follow from it, so that they agree without having met. (The
 * ids of one alone are drawn instead: start.c.)
 *
 * Pure. Never: chance, the network; names of hosts are not resolved.
 *
 * Invariants
 *   - The order in the text means nothing: what is returned is sorted by name, and so are the ids made.
 *   - Lists that differ in a name or an address are different clusters.
 */
#ifndef CLUSTER_FIRST_MEMBERS_H
#define CLUSTER_FIRST_MEMBERS_H

#include "cluster/membership.h"

struct first_members {
    uint64_t cluster_id;
    size_t count;
    struct membership_member members[RAFT_MEMBERS_MAX];     /* by name */
};

/* INVALID, with a sentence that says which word is wrong: no name or no address, a name or an address that
 * cannot be one, one that stands there twice, more than RAFT_MEMBERS_MAX. */
enum err_code first_members_parse(const char *text, struct first_members *ret,
                                  struct err *err) MUST_USE;
/* NULL: it is not among them. */
const struct membership_member *first_members_find(const struct first_members *first,
                                                   const char *name);

/* ---- words that members are called by ---- */

/* Letters, digits, '.', '-' and '_', a letter or digit first, MEMBER_NAME_SIZE - 1 at most: it stands in
 * lists, lines and commands without quotes. INVALID says so. */
enum err_code member_name_check(const char *name, struct err *err) MUST_USE;
/* HOST:PORT that others can connect to: no port 0, no wildcard. INVALID says why. */
enum err_code member_address_check(const char *address, struct err *err) MUST_USE;
/* Whether that is an address of every interface ("0.0.0.0:80", "[::]:80"). */
bool member_address_is_wildcard(const char *address);

#endif
