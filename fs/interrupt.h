/* What an interrupt means. The kernel sends one whenever any signal reaches a thread that waits for us,
 * a child's end, a resized terminal and a scheduler's own signals included; programs that call stat or
 * close do not expect EINTR for those. */
#ifndef FS_INTERRUPT_H
#define FS_INTERRUPT_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether a signal is pending for this thread that is meant to stop what it does: one that kills it, or
 * INT, TERM, QUIT, HUP or ALRM. A thread that cannot be looked at is taken to stop. */
bool interrupt_means_stop(pid_t tid);

/* For tests: of the text of /proc/TID/status. */
bool interrupt_in_status(const char *text);

#endif
