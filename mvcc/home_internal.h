/* What the implementations of the door share, and the parts of the one on LevelDB. */
#ifndef MVCC_HOME_INTERNAL_H
#define MVCC_HOME_INTERNAL_H

#include "mvcc/home.h"

/* home_manifest.c */

#define HOME_ID_SEED 0x686f6d65         /* of the hash that is a list's id: "home" */

/* Computes the id of a list that is complete. */
void home_manifest_seal(struct home_manifest *manifest);
bool home_manifest_equal(const struct home_manifest *left, const struct home_manifest *right);
void home_manifest_copy(const struct home_manifest *from, struct home_manifest *ret);

/* Whether size bytes at offset lie within a file of the list; a failing one is INVALID. */
enum err_code home_manifest_bounds(const struct home_manifest *manifest, size_t file,
                                   uint64_t offset, uint64_t size, struct err *err) MUST_USE;
/* The part of from, bytes of a file at offset, that is not there yet; empty: all of it is. INVALID: out
 * of bounds, or bytes before it are missing. */
enum err_code home_position_rest(const struct home_manifest *manifest,
                                 const struct home_position *position, size_t file,
                                 uint64_t offset, struct bytes *from, struct err *err) MUST_USE;
/* That many bytes more are there. True when they end a file. */
bool home_position_advance(const struct home_manifest *manifest, struct home_position *position,
                           uint64_t size);

/* home_leveldb_copy.c */

/* Links the tables of an open store into a new folder, and lists what is in it. What a failure leaves there
 * is the caller's to remove, as is folder-peek. Errors as home_copy_open. */
enum err_code leveldb_copy_make(const char *store, struct backend *backend, const char *folder,
                                struct home_manifest *ret_manifest, struct store_mark *ret_mark,
                                struct err *err) MUST_USE;
/* Whether a list names what such a copy consists of: CURRENT, its MANIFEST, tables. INVALID. */
enum err_code leveldb_copy_check(const struct home_manifest *manifest, struct err *err) MUST_USE;
/* Whether the MANIFEST in a folder names the tables of a list that was checked, each and no other, and has
 * nothing behind its last edit (LevelDB takes that for a tear, and drops the edit). CORRUPT. */
enum err_code leveldb_copy_fits(const char *folder, const struct home_manifest *manifest,
                                struct err *err) MUST_USE;

#endif
