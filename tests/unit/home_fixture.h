/* Two members' homes, in memory or on disk, and the way of a store from one to the other. */
#ifndef TESTS_UNIT_HOME_FIXTURE_H
#define TESTS_UNIT_HOME_FIXTURE_H

#include "mvcc/home.h"
#include "proto/base/hash.h"
#include "proto/base/rand.h"
#include "tests/unit/store_fixture.h"

#define CHUNK 4099                      /* no file's size is a multiple of it */

struct place {
    struct home *home;
    struct home_memory *memory;         /* or */
    char *folder;
};

static const struct store_options sender_options = {
    .cluster_id = 7, .member_id = 1, .generation = 2, .create = true};
static const struct store_options receiver_options = {
    .cluster_id = 7, .member_id = 9, .generation = 5, .create = true};

static inline struct place place_new(bool on_disk)
{
    struct place place = {0};
    if (on_disk) {
        place.folder = test_folder_new();
        assert_ok(home_leveldb_new(place.folder, &place.home, NULL));
    } else {
        place.memory = home_memory_new(0);
        place.home = home_memory_door(place.memory);
    }
    return place;
}

/* As a start after a stop. */
static inline void place_restart(struct place *place)
{
    if (!place->folder) {
        struct rand rand;
        rand_init(&rand, 1);
        home_memory_crash(place->memory, &rand);
        return;
    }
    struct err err = {0};
    home_leveldb_free(place->home);
    if (home_leveldb_new(place->folder, &place->home, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static inline void place_free(struct place *place)
{
    if (place->folder) {
        home_leveldb_free(place->home);
        test_folder_remove(place->folder);
    }
    home_memory_free(place->memory);
}

static inline struct store *place_open(struct place *place, const struct store_options *from)
{
    struct store_options options = *from;
    struct store *store = NULL;
    struct err err = {0};
    if (home_open(place->home, options.create, &options.backend, &err) != ERR_OK ||
        store_open(&store, &options, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return store;
}

static inline void fill(struct store *store, int from, int to)
{
    static uint8_t value[3000];
    char key[32];
    for (int i = from; i < to; i++) {
        snprintf(key, sizeof(key), "/d%d/k%d", i % 7, i % 50);
        for (size_t at = 0; at < sizeof(value); at++)   /* nothing that could be compressed */
            value[at] = (uint8_t)hash_u64((uint64_t)i << 32 | at);
        fixture_put(store, bytes_of_text(key), bytes_of(value, (size_t)(i * 37) % sizeof(value)));
    }
}

/* A store of the sender's with something in it, and its backend. */
struct source {
    struct place place;
    struct store *store;
    struct backend *backend;
};

static inline void source_open(struct source *source)
{
    struct store_options options = sender_options;
    assert_ok(home_open(source->place.home, true, &options.backend, NULL));
    assert_ok(store_open(&source->store, &options, NULL));
    source->backend = options.backend;
}

static inline struct source source_new(bool on_disk)
{
    struct source source = {.place = place_new(on_disk)};
    source_open(&source);
    fill(source.store, 0, 120);
    return source;
}

static inline void source_free(struct source *source)
{
    store_close(source->store);
    place_free(&source->place);
}

static inline uint64_t hash_of(struct store *store)
{
    uint64_t hash = 0;
    assert_ok(store_hash(store, &hash, NULL));
    return hash;
}

/* Everything applied is in it. The store goes on. */
static inline struct home_copy *copy_of(struct place *place, struct store *store,
                                        struct backend *backend)
{
    struct home_copy *copy = NULL;
    struct err err = {0};
    assert_ok(store_checkpoint(store, NULL));
    if (home_copy_open(place->home, backend, &copy, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return copy;
}

/* The next `size` bytes of the file it is at, or what is left of it. */
static inline enum err_code send_part(struct home_copy *copy, struct home *to,
                                      struct home_position *position, size_t size)
{
    static uint8_t part[TRANSFER_CHUNK_BYTES];
    assert_true(size <= sizeof(part));
    uint64_t left = copy->manifest.files[position->file].size - position->offset;
    if (size > left)
        size = (size_t)left;
    assert_ok(home_copy_read(copy, position->file, position->offset, part, size, NULL));
    return home_incoming_write(to, position->file, position->offset, bytes_of(part, size),
                               position, NULL);
}

static inline void send_chunk(struct home_copy *copy, struct home *to, struct home_position *position)
{
    assert_ok(send_part(copy, to, position, CHUNK));
}

static inline void send_all(struct home_copy *copy, struct home *to)
{
    struct home_position position;
    assert_ok(home_incoming_begin(to, &copy->manifest, &position, NULL));
    while (position.file < copy->manifest.count)
        send_chunk(copy, to, &position);
}

static inline void finish(struct home *home)
{
    struct err err = {0};
    if (home_incoming_finish(home, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static inline void adopt(struct home *home, const struct store_options *from,
                         struct store_mark *ret)
{
    struct store_options options = *from;
    struct err err = {0};
    assert_ok(home_incoming_open(home, &options.backend, NULL));
    if (store_adopt(&options, ret, &err) != ERR_OK)
        fail_msg("%s", err.text);
    backend_close(options.backend);
}

/* Sends, installs and opens it. */
static inline struct store *install(struct home_copy *copy, struct place *to)
{
    struct store_mark mark;
    send_all(copy, to->home);
    finish(to->home);
    adopt(to->home, &receiver_options, &mark);
    assert_int_equal(mark.applied, copy->mark.applied);
    store_mark_release(&mark);
    assert_ok(home_flip(to->home, NULL));
    return place_open(to, &receiver_options);
}

#endif
