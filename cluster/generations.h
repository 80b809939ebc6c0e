/* Which data folder each member of the cluster has: member id -> generation, the number that a folder draws by
 * chance when it begins (design: a member whose folder was emptied never votes under its id again).
 *
 *   DATA/generations   text: "formed yes" or "no", then "member ID GENERATION" lines by id, a checksum last
 *
 * A cluster that is formed from a list begins with "formed no": every member tells every other its
 * generation, and none votes before all have kept all. "formed yes" is kept then, for ever. Whoever comes
 * later under a known id with another generation has lost what was promised under it, and is refused.
 *
 * What is remembered is on disk before this answers. Without a disk (tests) it is in memory alone.
 *
 * Never: asks anybody, decides who is a member.
 *
 * Loop thread only. Writing waits for the disk: once in the life of each pair of members.
 */
#ifndef CLUSTER_GENERATIONS_H
#define CLUSTER_GENERATIONS_H

#include "cluster/membership.h"
#include "wal/disk.h"

/* Of members, and of joiners that this member has not heard of by the log yet. */
#define GENERATIONS_MAX ((size_t)4 * RAFT_MEMBERS_MAX)

struct generation {
    raft_id id;
    uint64_t generation;
};

/* Zeroed memory is one that is not formed, knows nobody, and is kept nowhere. */
struct generations {
    bool formed;
    size_t count;
    struct generation members[GENERATIONS_MAX];     /* ascending by id */
    struct disk *disk;                              /* borrowed */
};

/* Reads DATA/generations; without such a file it is formed and knows nobody: a member that is alone, or
 * joined. After an error it is one that is not formed: whether it has is not known. Errors:
 *   CORRUPT  it is damaged (text says what to do)
 *   IO */
enum err_code generations_open(struct generations *generations, struct disk *disk,
                               struct err *err) MUST_USE;
/* Writes one that is not formed and knows nobody: before the identity of one of the first members. */
enum err_code generations_begin(struct generations *generations, struct disk *disk,
                                struct err *err) MUST_USE;
/* As before anything was opened. */
void generations_clear(struct generations *generations);

/* 0: not known. */
uint64_t generations_get(const struct generations *generations, raft_id id);
/* Member id says hello with that generation: remembered if it is the first. Errors:
 *   EXISTS  another one is known; nothing is said, the caller knows names
 *   BUSY    GENERATIONS_MAX are known
 *   IO, NO_SPACE  it could not be kept, and is not known */
enum err_code generations_meet(struct generations *generations, raft_id id, uint64_t generation,
                               struct err *err) MUST_USE;
/* All have met. */
enum err_code generations_form(struct generations *generations, struct err *err) MUST_USE;
/* That id never comes again; written with the next that is. */
void generations_forget(struct generations *generations, raft_id id);

/* Pure; the text of the file. CORRUPT: damaged, or not of this form. */
void generations_format(const struct generations *generations, struct buf *ret);
enum err_code generations_parse(struct bytes text, struct generations *ret,
                                struct err *err) MUST_USE;

#endif
