/* What a loss of power leaves of a folder of the system's filesystem: of a host whose store is LevelDB's.
 *
 * fsync, fdatasync and the calls that take room are, in a program that has this, the ones of sim_folder.c.
 * Syncs below the folder reach no disk: what they would have made durable is noted, beside the folder, and
 * nothing else is durable.
 *
 *     sync of a file       what it holds now; under which name is not said by that
 *     sync of a folder     the names in it, and that this folder is there under its own name
 *     sim_folder_crash     exactly that: a name without a sync is gone or is what it was before, a file of a
 *                          durable name that was never synced is empty
 *
 * So a promise that the store makes without a sync is broken by the next loss of power, whoever owed the
 * sync: LevelDB, the door to the home, or the store that did not ask for it.
 *
 * A folder that is full refuses each write and allocation below it with ENOSPC, and statvfs says that nothing
 * is free; removing, renaming, linking and making empty files go on.
 *
 * Tables and the reserve never change once they were synced, and are linked (a crash CHECKs their sizes);
 * everything else is copied at each sync.
 *
 * Threads: the system's calls from any thread. The calls below from the owner's; sim_folder_settle and
 * sim_folder_crash while nobody has a file of the folder open.
 */
#ifndef TESTS_SIM_SIM_FOLDER_H
#define TESTS_SIM_SIM_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

struct sim_folder;

/* The folder exists; all that is in it is durable. path-durable is made, for what is noted. */
struct sim_folder *sim_folder_new(const char *path);
/* The folder stays, path-durable goes. NULL is fine. */
void sim_folder_free(struct sim_folder *folder);
/* All that is in it now is durable. */
void sim_folder_settle(struct sim_folder *folder);
/* So many more syncs count, and then no more: the process that asks for them is dead. Until the next settle or
 * crash. */
void sim_folder_stop(struct sim_folder *folder, uint64_t after);
bool sim_folder_has_stopped(struct sim_folder *folder);
/* Its disk is full, or has room again. */
void sim_folder_fill(struct sim_folder *folder, bool is_full);
/* The power goes, and only what was durable is left. */
void sim_folder_crash(struct sim_folder *folder);

#endif
