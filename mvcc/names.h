/* The live names (column d): what a directory holds, and the newest head of every key that stands at a
 * name. Kept at apply; read by LOOKUP, LIST, rmdir, and by every put and delete for the head.
 *
 * Threads: what takes a batch belongs to the writer; what takes a view to whoever holds the view.
 * Errors: IO, CORRUPT (a row that does not decode).
 */
#ifndef MVCC_NAMES_H
#define MVCC_NAMES_H

#include "mvcc/index.h"

/* Whether the key has a name row: false inside the system range, and deeper than NAME_DEPTH_MAX. */
bool names_covers(struct bytes key);

/* The head of the live version of a key that names_covers. NOT_FOUND (no text): no live version. */
enum err_code names_head(struct batch *batch, struct bytes key, struct head *ret,
                         struct err *err) MUST_USE;

/* What a change of a key did to names; top as in struct kv_changed. */
struct names_change {
    unsigned changes;                   /* enum kv_change */
    size_t top;
};

/* A user key (outside the system range; any depth) got its first version, another one, or none: old and
 * now are the live heads before and after, NULL for none (never both). Adds missing ancestors and drops
 * implicit ones that emptied. At a delete the key's metadata has not been told yet, it follows in the
 * same revision. Adds KV_CHANGED_NAME to change when the name came, went, or changed its kind. */
enum err_code names_key_changed(struct batch *batch, struct bytes key, const struct head *old,
                                const struct head *now, kv_rev revision, kv_time time,
                                struct names_change *change, struct err *err) MUST_USE;

/* The same for the record of a key: which is NAMES_META (key is the user's key) or NAMES_DIRECTORY (key
 * is the directory's key without its last '/'). value is the encoded record when now is not NULL. */
enum names_record { NAMES_META, NAMES_DIRECTORY };
enum err_code names_record_changed(struct batch *batch, enum names_record which, struct bytes key,
                                   const struct head *old, const struct head *now, struct bytes value,
                                   kv_rev revision, kv_time time,
                                   struct names_change *change, struct err *err) MUST_USE;

/* The newest state. NOT_FOUND (no text): nothing stands there. Answers live in arena. The directory ""
 * itself is asked for as name "/" in directory "": no name has a '/'. */
enum err_code names_lookup(const struct view *view, const struct kv_lookup *lookup,
                           struct arena *arena, struct kv_name *ret, struct err *err) MUST_USE;
enum err_code names_list(const struct view *view, const struct kv_list *list, struct arena *arena,
                         struct kv_list_result *ret, struct err *err) MUST_USE;

/* As it was at a revision, from column k. The caller has checked the revision against floor and newest.
 * Of a past directory name_count is 0 and directory_count UINT64_MAX (not known without a walk); its
 * change is that of its record, else the creation of the first thing below. */
enum err_code names_lookup_at(const struct view *view, const struct kv_lookup *lookup, kv_rev at,
                              struct arena *arena, struct kv_name *ret, struct err *err) MUST_USE;
enum err_code names_list_at(const struct view *view, const struct kv_list *list, kv_rev at,
                            struct arena *arena, struct kv_list_result *ret,
                            struct err *err) MUST_USE;

/* Recomputes column d from the live keys at revision at, the newest, and compares row by row. CORRUPT:
 * they differ (the text names the first row that does). Walks everything: tests, simulation, debugging. */
enum err_code names_validate(const struct view *view, kv_rev at, struct err *err) MUST_USE;

#endif
