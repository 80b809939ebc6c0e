/* One table row per setting: name, field, default, smallest, largest. */
#include "mvcc/config.h"

#include <pthread.h>
#include <stdlib.h>

#include "mvcc/index.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define FILE_SIZE_LIMIT (REQUEST_SIZE_MAX - 2 * KEY_SIZE_MAX - XATTR_SIZE_MAX - 4 * KIB)

/* What fits into one request bounds a file; history has no largest worth refusing but an overflow in
 * nanoseconds; timers below the smallest would be elections by themselves. */
#define SETTINGS(X)                                                                                \
    X("max_file_size", file_size_max, FILE_SIZE_MAX_DEFAULT, 0, FILE_SIZE_LIMIT)                   \
    X("quota", quota_limit, QUOTA_DEFAULT, QUOTA_RESERVE, INT64_MAX)                               \
    X("rename_keys", rename_keys_max, RENAME_KEYS_MAX_DEFAULT, 0, 1000000)                         \
    X("rename_bytes", rename_bytes_max, RENAME_BYTES_MAX_DEFAULT, 0, 1024LL * MIB)                 \
    X("heartbeat", heartbeat_ms, HEARTBEAT_DEFAULT_MS, 5, 60000)                                   \
    X("election", election_ms, ELECTION_DEFAULT_MS, 25, 300000)                                    \
    X("history", history_s, HISTORY_DEFAULT_S, 0, 100LL * 366 * 24 * 3600)

struct setting {
    const char *name;
    size_t place;
    uint64_t otherwise, smallest, largest;
};

static const struct setting settings[] = {
#define SETTING(name, field, otherwise, smallest, largest)                                         \
    {name, offsetof(struct store_settings, field), otherwise, smallest, largest},
    SETTINGS(SETTING)
#undef SETTING
};

struct config {
    struct store_settings current;              /* the writer's */
    pthread_mutex_t lock;
    struct store_settings published;
};

static uint64_t *field_of(struct store_settings *all, const struct setting *setting)
{
    return (uint64_t *)((char *)all + setting->place);
}

static void set_defaults(struct store_settings *ret)
{
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++)
        *field_of(ret, &settings[i]) = settings[i].otherwise;
}

struct config *config_new(void)
{
    struct config *config = mem_xzalloc(sizeof(*config));
    pthread_mutex_init(&config->lock, NULL);
    set_defaults(&config->current);
    config->published = config->current;
    return config;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    pthread_mutex_destroy(&config->lock);
    free(config);
}

static const struct setting *setting_find(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++)
        if (bytes_equal(name, bytes_of_text(settings[i].name)))
            return &settings[i];
    return NULL;
}

/* Digits, and as a file's content usually has it, one newline after them. */
static bool decimal(struct bytes from, uint64_t *ret)
{
    uint64_t value = 0;
    if (from.size && from.data[from.size - 1] == '\n')
        from.size--;
    if (from.size == 0)
        return false;
    for (size_t i = 0; i < from.size; i++) {
        unsigned digit = (unsigned)from.data[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}

static bool in_bounds(const struct setting *setting, uint64_t value)
{
    return value >= setting->smallest && value <= setting->largest;
}

enum err_code config_validate(struct bytes name, struct bytes value, struct err *err)
{
    const struct setting *setting = setting_find(name);
    uint64_t number;
    if (!setting)
        return err_set(err, ERR_INVALID, "there is no setting \"%.*s\"",
                       (int)(name.size < 64 ? name.size : 64), (const char *)name.data);
    if (!decimal(value, &number))
        return err_set(err, ERR_INVALID, "setting \"%s\" must be a decimal number", setting->name);
    if (!in_bounds(setting, number))
        return err_set(err, ERR_INVALID, "setting \"%s\" must be from %llu to %llu", setting->name,
                       (unsigned long long)setting->smallest,
                       (unsigned long long)setting->largest);
    return ERR_OK;
}

void config_changed(struct config *config, struct bytes name, const struct bytes *value)
{
    const struct setting *setting = setting_find(name);
    uint64_t number;
    if (!setting)
        return;
    if (!value || !decimal(*value, &number) || !in_bounds(setting, number))
        number = setting->otherwise;
    *field_of(&config->current, setting) = number;
}

enum err_code config_load(struct config *config, const struct view *view, kv_rev at,
                          struct err *err)
{
    struct bytes prefix = BYTES_LITERAL(KV_CONFIG_PREFIX), value;
    struct index_cursor cursor;
    struct arena arena = {0};
    struct buf end = {0};
    enum err_code code;
    kv_prefix_end(&end, prefix);
    set_defaults(&config->current);
    index_cursor_init(&cursor, view, prefix, buf_bytes(&end), at);
    while (!(code = index_cursor_next(&cursor, err)) && cursor.found) {
        code = index_cursor_value(&cursor, &arena, &value, err);
        if (code)
            break;
        config_changed(config, bytes_skip(index_cursor_key(&cursor), prefix.size), &value);
    }
    index_cursor_release(&cursor);
    arena_release(&arena);
    buf_release(&end);
    if (!code)
        config_publish(config);
    return code;
}

const struct store_settings *config_current(const struct config *config)
{
    return &config->current;
}

void config_publish(struct config *config)
{
    pthread_mutex_lock(&config->lock);
    config->published = config->current;
    pthread_mutex_unlock(&config->lock);
}

void config_get(struct config *config, struct store_settings *ret)
{
    pthread_mutex_lock(&config->lock);
    *ret = config->published;
    pthread_mutex_unlock(&config->lock);
}
