/* A disk in memory behind the door wal/disk.h, for tests and simulations: what was written and not
 * synced can be lost sector by sector, calls can be made to fail, bytes can be altered.
 *
 * Each file has two contents: what reads see, and what a power cut leaves. Sectors of 512 bytes that
 * differ are marked. A sync (or a durable write, for its sectors) carries the one over to the other.
 * Names are kept twice alike: creations, renames and removals wait for a sync of their folder.
 * A sync that is made to fail behaves as Linux does: the marks go, the bytes do not arrive, and
 * cached reads go on to show them.
 *
 * Equal seeds and equal calls give equal runs. One thread at a time.
 */
#ifndef TESTS_SIM_SIM_DISK_H
#define TESTS_SIM_SIM_DISK_H

#include "proto/base/rand.h"
#include "wal/disk.h"

#define SIM_SECTOR_SIZE 512

struct sim_disk;

struct sim_disk *sim_disk_new(uint64_t seed);
void sim_disk_free(struct sim_disk *sim);               /* open handles are closed; NULL is fine */
/* The same files, with nothing open, no fault set and no name waiting for a sync. */
struct sim_disk *sim_disk_clone(const struct sim_disk *sim, uint64_t seed);
struct disk *sim_disk_door(struct sim_disk *sim);

/* --- faults --- */

/* Calls made so far (close and list do not count: they have no outcome that could vary). */
uint64_t sim_disk_calls(const struct sim_disk *sim);
/* How many of them were of one kind. */
enum sim_disk_kind {
    SIM_DISK_OPEN, SIM_DISK_READ, SIM_DISK_WRITE, SIM_DISK_SYNC, SIM_DISK_FOLDER, SIM_DISK_RENAME,
    SIM_DISK_REMOVE, SIM_DISK_KIND_COUNT,
};
uint64_t sim_disk_calls_of(const struct sim_disk *sim, enum sim_disk_kind kind);
/* Calls among them that changed something: creations, writes of a byte or more, renames, removals. */
uint64_t sim_disk_changes(const struct sim_disk *sim);
/* The call of that number (the first is 1) answers code, having done its work in part or not at all;
 * with sticky all later ones too. 0 takes the fault away, and the next one too. */
void sim_disk_fail(struct sim_disk *sim, uint64_t call, enum err_code code, bool sticky);
/* Likewise of the flushes to come (syncs of a file or folder, durable writes), or of what is none, the call of
 * that number (1: the next); with sticky all later calls too, flushes or not. */
void sim_disk_fail_next(struct sim_disk *sim, bool flush, uint64_t number, enum err_code code,
                        bool sticky);
/* From that call on nothing reaches the disk: it is done in part, it and all later ones answer IO,
 * as if the process had been killed in it. sim_disk_crash or sim_disk_kill takes it away. */
void sim_disk_stop(struct sim_disk *sim, uint64_t call);
/* Bytes that every creation together may reserve; more answers NO_SPACE. 0 is no limit. */
void sim_disk_limit(struct sim_disk *sim, uint64_t size);
/* And has done so. */
bool sim_disk_has_limited(const struct sim_disk *sim);
/* Reads of this sector answer IO. */
void sim_disk_fail_sector(struct sim_disk *sim, const char *name, uint64_t offset);

/* What of the faults above some call has met, and not what was only set. Each fault counts once, however many
 * calls it answers. */
struct sim_disk_met {
    uint64_t flush_errors;      /* answered by a flush */
    uint64_t io_errors;         /* by another call */
    uint64_t stops, bad_sectors;
};
/* Since this was called last. */
struct sim_disk_met sim_disk_take_met(struct sim_disk *sim);

/* --- crashes: open handles become invalid, faults are taken away --- */

/* The process dies, the machine goes on: nothing is lost. */
void sim_disk_kill(struct sim_disk *sim);
/* The power goes: of each marked sector the old or the new bytes remain, at times a part of the new
 * ones; of the waiting names any, in their order. keep of 1000 sectors stay; torn of 1000 tear. */
void sim_disk_crash(struct sim_disk *sim, unsigned keep, unsigned torn);

/* --- looking and altering, all contents at once --- */

bool sim_disk_has(const struct sim_disk *sim, const char *name);
/* What reads see; size is the file's. NULL when there is none. */
const uint8_t *sim_disk_look(const struct sim_disk *sim, const char *name, uint64_t *ret_size);
void sim_disk_poke(struct sim_disk *sim, const char *name, uint64_t offset, const void *from,
                   size_t size);
void sim_disk_truncate(struct sim_disk *sim, const char *name, uint64_t size);
void sim_disk_unlink(struct sim_disk *sim, const char *name);
/* A number that follows the file through renames. */
uint64_t sim_disk_inode(const struct sim_disk *sim, const char *name);
/* Copies every file into a real folder (made when absent). */
void sim_disk_export(const struct sim_disk *sim, const char *folder, const char *to);

#endif
