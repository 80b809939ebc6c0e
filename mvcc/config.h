/* Cluster settings: .concordfs/config/NAME, decimal text. Read at apply by the writer; a published copy
 * is read by any thread. A setting without a key has its default (limits.h).
 */
#ifndef MVCC_CONFIG_H
#define MVCC_CONFIG_H

#include "mvcc/batch.h"
#include "mvcc/store.h"

struct config;

struct config *config_new(void);
void config_free(struct config *config);
/* Whether the value may stand at KV_CONFIG_PREFIX + name. INVALID: no such setting, not a decimal
 * number, out of its bounds (text says which). Pure. */
enum err_code config_validate(struct bytes name, struct bytes value, struct err *err) MUST_USE;
/* A validated key was put, or (value NULL) deleted: the writer's copy changes. */
void config_changed(struct config *config, struct bytes name, const struct bytes *value);
/* All settings as they stand in the store at revision at; a value that does not validate counts as
 * absent. IO, CORRUPT. */
enum err_code config_load(struct config *config, const struct view *view, kv_rev at,
                          struct err *err) MUST_USE;
const struct store_settings *config_current(const struct config *config);       /* the writer's */
void config_publish(struct config *config);                                     /* after a commit */
void config_get(struct config *config, struct store_settings *ret);             /* any thread */

#endif
