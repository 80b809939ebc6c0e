/* A store arrives in a data folder: what dies at any point of that, and what is found afterwards.
 *
 *     home-subject prepare WORK     WORK/data with a store, WORK/copy with what another member sends
 *     home-subject arrive WORK      receives, finishes, adopts, flips; says what it was told is done
 *     home-subject check WORK TOLD  looks at WORK/data as a start does. TOLD is arrive's output
 *
 * The store before, and the one that arrives, are known by their hashes. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mvcc/home.h"
#include "mvcc/store.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"
#include "proto/kv_pb.h"

#define CHUNK_SIZE 30000

static const struct store_options own = {.cluster_id = 7, .member_id = 9, .generation = 5};
static const struct store_options others = {.cluster_id = 7, .member_id = 1, .generation = 2};
static const char *work;

static _Noreturn void stop(int status, const char *what, const struct err *err)
{
    printf("%s: %s\n", what, err ? err->text : "");
    fflush(stdout);
    _Exit(status);
}

#define MUST(call)                                                                                 \
    do {                                                                                           \
        struct err must_err = {0}, *err = &must_err;                                               \
        if ((call) != ERR_OK)                                                                      \
            stop(1, #call, err);                                                                   \
    } while (0)

static char *in_work(const char *name) { return mem_xformat("%s/%s", work, name); }

/* ---- stores ---- */

static void put(struct store *store, int number)
{
    static uint8_t value[2000];
    char key[32];
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (uint8_t)hash_u64((uint64_t)number << 32 | i);
    snprintf(key, sizeof(key), "/d%d/%d", number % 5, number);
    struct kv_op op = {.kind = KV_OP_PUT,
                       .put = {.key = bytes_of_text(key), .value = bytes_of(value, sizeof(value))}};
    struct entry_request request = {.kind = ENTRY_TXN, .privileged = true,
                                    .txn = {.success = &op, .success_count = 1}};
    struct entry entry = {.term = 1, .index = store_applied(store) + 1,
                          .payload = entry_request_encode(&request)};
    struct store_result result;
    store_begin(store);
    MUST(store_apply(store, &entry, false, &result, err));
    MUST(store_commit(store, err));
    arena_release(&result.arena);
    blob_unref(entry.payload);
}

static struct store *open_current(struct home *home, const struct store_options *from, bool create)
{
    struct store_options options = *from;
    struct store *store = NULL;
    options.create = create;
    MUST(home_open(home, create, &options.backend, err));
    MUST(store_open(&store, &options, err));
    return store;
}

static uint64_t hash_of(struct store *store)
{
    uint64_t hash;
    MUST(store_hash(store, &hash, err));
    return hash;
}

static void write_file(const char *name, struct bytes from)
{
    char *path = in_work(name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(from.data, 1, from.size, file) != from.size || fclose(file) != 0)
        stop(1, path, NULL);
    free(path);
}

static void read_file(const char *name, struct buf *ret)
{
    char *path = in_work(name);
    FILE *file = fopen(path, "rb");
    size_t size = 1;
    if (!file)
        stop(1, path, NULL);
    for (; size; ret->size += size) {
        buf_reserve(ret, 1 << 16);
        size = fread(ret->data + ret->size, 1, 1 << 16, file);
    }
    fclose(file);
    free(path);
}

static void hash_save(const char *name, uint64_t hash)
{
    write_file(name, bytes_of(&hash, sizeof(hash)));
}

static uint64_t hash_load(const char *name)
{
    struct buf bytes = {0};
    read_file(name, &bytes);
    uint64_t hash = get_le64(bytes.data);
    buf_release(&bytes);
    return hash;
}

/* ---- prepare ---- */

static struct home *make_home(const char *name)
{
    struct home *home = NULL;
    char *path = in_work(name);
    mkdir(path, 0700);
    MUST(home_leveldb_new(path, &home, err));
    free(path);
    return home;
}

static void save_copy(struct home_copy *copy)
{
    struct buf bytes = {0};
    home_manifest_encode(&copy->manifest, &bytes);
    write_file("list", buf_bytes(&bytes));
    for (size_t i = 0; i < copy->manifest.count; i++) {
        char name[32];
        buf_clear(&bytes);
        size_t size = (size_t)copy->manifest.files[i].size;
        MUST(home_copy_read(copy, i, 0, buf_extend(&bytes, size), size, err));
        snprintf(name, sizeof(name), "file%zu", i);
        write_file(name, buf_bytes(&bytes));
    }
    buf_release(&bytes);
}

static void prepare(void)
{
    struct home *home = make_home("data");
    struct store *store = open_current(home, &own, true);
    for (int i = 0; i < 20; i++)
        put(store, i);
    MUST(store_checkpoint(store, err));
    hash_save("old", hash_of(store));
    store_close(store);
    home_leveldb_free(home);

    struct home *sender = make_home("sender");
    struct store_options options = others;
    struct home_copy *copy = NULL;
    options.create = true;
    MUST(home_open(sender, true, &options.backend, err));
    MUST(store_open(&store, &options, err));
    for (int i = 0; i < 60; i++)
        put(store, i * 3);
    MUST(store_checkpoint(store, err));
    hash_save("new", hash_of(store));
    MUST(home_copy_open(sender, options.backend, &copy, err));
    save_copy(copy);
    home_copy_close(copy);
    store_close(store);
    home_leveldb_free(sender);
}

/* ---- arrive ---- */

static void say(const char *what)
{
    puts(what);
    fflush(stdout);
}

static void receive(struct home *home)
{
    struct buf bytes = {0};
    struct home_manifest list;
    struct home_position position;
    read_file("list", &bytes);
    MUST(home_manifest_decode(buf_bytes(&bytes), &list, err));
    MUST(home_incoming_begin(home, &list, &position, err));
    for (size_t i = 0; i < list.count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "file%zu", i);
        buf_clear(&bytes);
        read_file(name, &bytes);
        for (size_t at = 0; at < bytes.size; at += CHUNK_SIZE) {
            size_t size = bytes.size - at < CHUNK_SIZE ? bytes.size - at : CHUNK_SIZE;
            MUST(home_incoming_write(home, i, at, bytes_of(bytes.data + at, size), &position, err));
        }
    }
    MUST(home_incoming_finish(home, err));
    say("finished");
    home_manifest_release(&list);
    buf_release(&bytes);
}

static void adopt_and_flip(struct home *home)
{
    struct store_options options = own;
    struct store_mark mark = {0};
    MUST(home_incoming_open(home, &options.backend, err));
    MUST(store_adopt(&options, &mark, err));
    store_mark_release(&mark);
    backend_close(options.backend);
    say("adopted");
    MUST(home_flip(home, err));
    say("flipped");
}

static void arrive(void)
{
    struct home *home = make_home("data");
    struct store *store = open_current(home, &own, false);
    receive(home);
    store_close(store);
    adopt_and_flip(home);
    store = open_current(home, &own, false);
    if (hash_of(store) != hash_load("new"))
        stop(1, "the flipped store is another", NULL);
    store_close(store);
    home_leveldb_free(home);
}

/* ---- check ---- */

static bool told(const char *output, const char *what)
{
    struct buf bytes = {0};
    FILE *file = fopen(output, "rb");
    char line[512], want[32];
    bool found = false;
    snprintf(want, sizeof(want), "%s\n", what);
    while (file && fgets(line, sizeof(line), file))
        found = found || strcmp(line, want) == 0;
    if (file)
        fclose(file);
    buf_release(&bytes);
    return found;
}

static int stores_in_folder(void)
{
    char *path = in_work("data");
    DIR *dir = opendir(path);
    int count = 0;
    if (!dir)
        stop(1, path, NULL);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strncmp(entry->d_name, "store", 5) == 0;
    closedir(dir);
    free(path);
    return count;
}

static void must_be(bool fact, const char *what)
{
    if (!fact)
        stop(1, what, NULL);
}

/* The word for the state that is found; its hash, its rows, its folders. */
static const char *look(struct home *home)
{
    struct backend *arrived = NULL;
    struct store *store = open_current(home, &own, false);
    uint64_t hash = hash_of(store);
    MUST(store_validate(store, err));
    store_close(store);
    bool has_arrival = home_incoming_open(home, &arrived, NULL) == ERR_OK;
    backend_close(arrived);
    must_be(stores_in_folder() == 1 + has_arrival, "folders are left behind");
    must_be(hash == hash_load("old") || hash == hash_load("new"), "a store that never was");
    bool is_new = hash == hash_load("new");
    must_be(!(is_new && has_arrival), "a new store and an arrival");
    return is_new ? "new" : has_arrival ? "arrived" : "old";
}

static void check(const char *output)
{
    struct home *home = make_home("data");
    const char *found = look(home);
    must_be(!told(output, "flipped") || strcmp(found, "new") == 0, "a flip is undone");
    must_be(!told(output, "finished") || strcmp(found, "old") != 0, "a finished arrival is gone");
    /* And it goes on from there. */
    if (strcmp(found, "old") == 0)
        receive(home);
    if (strcmp(found, "new") != 0)
        adopt_and_flip(home);
    must_be(strcmp(look(home), "new") == 0, "it does not go on");
    home_leveldb_free(home);
    home = make_home("data");
    must_be(strcmp(look(home), "new") == 0, "the next start finds another");
    home_leveldb_free(home);
    printf("found: %s\n", found);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    work = argv[2];
    if (strcmp(argv[1], "prepare") == 0)
        prepare();
    else if (strcmp(argv[1], "arrive") == 0)
        arrive();
    else if (argc > 3 && strcmp(argv[1], "check") == 0)
        check(argv[3]);
    return 0;
}
