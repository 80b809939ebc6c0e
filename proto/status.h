/* How a member is, as one screen of text: what .fs/status holds and "concordfs status" prints. One line
 * for each fact, "name: value", so that a person reads it and a script greps it. */
#ifndef PROTO_STATUS_H
#define PROTO_STATUS_H

#include "proto/kv.h"

/* A member that was not heard for so long is named as missing, by one that should have heard it: many
 * heartbeats, and longer than an election. */
#define STATUS_MISSING_NS INT64_C(2000000000)

/* Appends the screen. data_folder: where the member keeps its data (an absolute path; a newline in it
 * is printed as '?'), NULL for a mount without a member: the line is left out. Any thread. */
void status_format(struct buf *ret, const struct kv_status *status, const char *data_folder);

/* Appends a time as "2026-11-24T03:51:37.123Z"; "-" for 0. */
void status_format_time(struct buf *ret, kv_time time);

/* The value of a line, cut out of the text: borrowed from it, empty when there is no such line. */
struct bytes status_find(struct bytes text, const char *name);

#endif
