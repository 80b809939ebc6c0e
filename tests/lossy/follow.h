/* What the calls of liblossy.so share: which descriptors and paths lie in the followed folder, the
 * journal, and the faults that were asked for.
 *
 *     LOSSY_DIR         the folder; without it nothing is followed
 *     LOSSY_IMAGE       where the journal lies (journal.h); made by lossy-restore init
 *     LOSSY_SYNC_US     how long a flush takes (200); the disk itself is not asked to flush, because
 *                       what is durable is what the journal says
 *     LOSSY_KILL_AFTER  n: SIGKILL to the process in place of its nth followed call
 *     LOSSY_FAIL        n[+]:EIO|ENOSPC|EDQUOT:write|sync|open|rename|unlink|truncate[,..]
 *                       the nth call of the kind fails, with + all that come after it too
 *
 * Not followed, because such calls do not end in a crash of the rig but in a message and an abort:
 * shared writable mappings, O_TMPFILE, renames across the folder's edge. copy_file_range, sendfile
 * and splice into the folder fail, upon which callers write by themselves. stdio is followed at
 * fflush and fclose, by the whole content. Names LOG and LOG.old (LevelDB's diary, written by stdio
 * and never read) and sockets are left out.
 *
 * Threads: every function here but follow_* on a descriptor's own entry wants the lock.
 */
#ifndef TESTS_LOSSY_FOLLOW_H
#define TESTS_LOSSY_FOLLOW_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "tests/lossy/journal.h"

#define DESCRIPTORS_MAX 65536

enum call_kind { CALL_WRITE, CALL_SYNC, CALL_OPEN, CALL_RENAME, CALL_UNLINK, CALL_TRUNCATE,
                 CALL_KINDS };

#pragma GCC visibility push(hidden)

/* The next definition of a function after ours: libc's. */
#define REAL(name, result, ...)                                                                    \
    static result (*real_##name)(__VA_ARGS__);                                                     \
    if (!real_##name)                                                                              \
    real_##name = (result(*)(__VA_ARGS__))follow_next(#name)
void *follow_next(const char *name);

_Noreturn void follow_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

void follow_lock(void);
void follow_unlock(void);

/* One call of this kind is about to happen: kills or fails it where that was asked for. True and
 * errno set: it must fail. */
bool follow_fails(enum call_kind kind);

/* Whether the path lies in the folder and is followed; its place there (ret of PATH_MAX bytes). */
bool follow_path(int at, const char *path, char *ret);

/* Whether the descriptor is a followed file or folder; its inode. Opens unknown ones in the journal. */
bool follow_descriptor(int descriptor, uint64_t *ret_inode);
/* A descriptor that was just opened at this place. */
void follow_opened(int descriptor, const char *place, bool created, bool is_dsync);
void follow_closed(int descriptor);
bool follow_is_dsync(int descriptor);
bool follow_is_stream(int descriptor);
void follow_set_stream(int descriptor);

void follow_note(struct journal_record record, const char *path, const char *other);
/* Bytes that a write has put at this offset. */
void follow_note_write(uint64_t inode, uint64_t offset, const struct iovec *parts, int count,
                       size_t size);
/* The whole content, read back: for what went past us. */
void follow_note_content(int descriptor, uint64_t inode);

uint64_t follow_new_id(void);
bool follow_is_journal(int descriptor);
void follow_wait_for_disk(void);

#pragma GCC visibility pop

#endif
