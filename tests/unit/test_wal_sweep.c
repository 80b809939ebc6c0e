/* Every byte of a log altered, one at a time. A sealed log is refused, whatever the byte. One that
 * was not sealed is refused, or it comes back cut above what its flushes prove, with a line that
 * says so; it never comes back as something it never was, and a refused one is left as it was.
 *
 * "make check" takes a sample. "make wal-sweep" takes every case, and goes on where it was stopped:
 *
 *     test_wal_sweep --full STATE-FILE
 */
#include "tests/unit/wal_model.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/wal_internal.h"

#define FLUSHES_MAX 512
#define FILES_MAX 8

struct flush_start {
    uint64_t segment, offset;
    size_t steps;               /* of the model, before it */
};

/* A log as a run left it, and what it may come back as. */
struct specimen {
    const char *name;
    bool sealed;
    struct sim_disk *sim;
    struct model *model;
    struct flush_start flushes[FLUSHES_MAX];
    size_t flush_count;
    uint64_t end;               /* behind the last record but a seal */
    char files[FILES_MAX][64];
    size_t file_count;
};

enum alteration {
    ALTER_FLIP_0, ALTER_FLIP_7 = 7, /* one bit each */
    ALTER_ZERO, ALTER_ONES, ALTER_CUT,
    ALTER_BYTE_COUNT,
    /* at the beginning of each sector only */
    ALTER_SECTOR_ZERO = ALTER_BYTE_COUNT, ALTER_SECTOR_OTHER, ALTER_SECTOR_MOVED,
    ALTER_PAGE_ZERO, ALTER_PAGE_OTHER, ALTER_PAGE_MOVED,
    ALTER_COUNT
};

static struct model_view found;

/* --- making a specimen --- */

static void note_flush(struct specimen *specimen, const struct wal *wal)
{
    assert_true(specimen->flush_count < FLUSHES_MAX);
    specimen->flushes[specimen->flush_count++] = (struct flush_start){
        wal->place.segment, wal->place.offset, specimen->model->count};
}

static void put_entries(struct specimen *specimen, struct wal *wal, size_t count, size_t size)
{
    struct err err;
    raft_index index = specimen->model->now.last + 1;
    assert_good(fixture_append(wal, index, 3, count, size, &err), err);
    for (size_t i = 0; i < count; i++)
        model_push(specimen->model, (struct model_step){.kind = MODEL_ENTRY, .index = index + i,
                                                        .term = 3, .size = size});
}

static void put_state(struct specimen *specimen, struct wal *wal, raft_index commit)
{
    struct hard_state state = {3, 2, commit};
    assert_ok(wal_append(wal, &state, NULL, 0, NULL));
    model_push(specimen->model, (struct model_step){.kind = MODEL_STATE, .state = state});
}

static void put_mark(struct specimen *specimen, struct wal *wal, raft_index index)
{
    struct err err;
    assert_good(fixture_mark(wal, index, 3, "three members", &err), err);
    model_push(specimen->model,
               (struct model_step){.kind = MODEL_MARK, .index = index, .term = 3});
}

static void flush(struct wal *wal)
{
    struct err err;
    assert_good(wal_flush(wal, &err), err);
}

static void write_some(struct specimen *specimen, struct wal *wal, size_t target_segment)
{
    for (size_t i = 0; wal->place.segment < target_segment; i++) {
        note_flush(specimen, wal);
        put_state(specimen, wal, i);
        put_entries(specimen, wal, 1 + i % 3, i % 5 == 0 ? 12000 : 37 + i % 9);
        flush(wal);
    }
}

static void list_files(struct specimen *specimen)
{
    for (unsigned number = 1; number < 32; number++) {
        char name[64];
        snprintf(name, sizeof name, "wal/%016x.seg", number);
        if (sim_disk_has(specimen->sim, name))
            memcpy(specimen->files[specimen->file_count++], name, sizeof name);
    }
    if (sim_disk_has(specimen->sim, "wal/seal"))
        strcpy(specimen->files[specimen->file_count++], "wal/seal");
    assert_true(specimen->file_count >= 2 && specimen->file_count < FILES_MAX);
}

/* Two or three segments; with recycled, the last of them lies on old bytes. */
static void specimen_make(struct specimen *specimen, const char *name, bool sealed, bool recycled)
{
    struct wal *wal;
    struct wal_recovery recovery = {0};
    struct err err;
    *specimen = (struct specimen){.name = name, .sealed = sealed, .sim = sim_disk_new(11),
                                  .model = calloc(1, sizeof *specimen->model)};
    struct wal_options options = fixture_options(sim_disk_door(specimen->sim));
    assert_good(wal_open(&options, &wal, &recovery, &err), err);
    assert_good(fixture_prepare(wal, &err), err);
    write_some(specimen, wal, 2);
    if (recycled) {
        put_mark(specimen, wal, specimen->model->now.last);
        write_some(specimen, wal, 4);
        wal_release(wal, specimen->model->now.mark_index);
        assert_good(fixture_prepare(wal, &err), err);
        put_mark(specimen, wal, specimen->model->now.last);
        write_some(specimen, wal, 5);
        wal_release(wal, specimen->model->now.mark_index);
        assert_good(fixture_prepare(wal, &err), err);
        write_some(specimen, wal, 6);
        assert_false(wal->segments[wal->segment_count - 1].fresh);
    }
    for (int i = 0; i < 5; i++) {
        note_flush(specimen, wal);
        put_state(specimen, wal, 50);
        put_entries(specimen, wal, 3, 1000);
        flush(wal);
    }
    specimen->end = wal->place.offset;
    if (sealed)
        assert_good(wal_close(wal, &err), err);
    else
        wal_abandon(wal);
    sim_disk_kill(specimen->sim);
    list_files(specimen);
    wal_recovery_release(&recovery);
}

static void specimen_release(struct specimen *specimen)
{
    sim_disk_free(specimen->sim);
    free(specimen->model);
}

/* --- altering --- */

struct change {
    uint64_t offset;
    size_t size;                /* 0: cut the file at offset */
    uint8_t bytes[4096];
};

/* False when the alteration would change nothing. */
static bool change_make(const struct specimen *specimen, size_t file, uint64_t offset,
                        enum alteration kind, struct change *change)
{
    uint64_t size, other_size;
    const uint8_t *from = sim_disk_look(specimen->sim, specimen->files[file], &size);
    const uint8_t *other = sim_disk_look(specimen->sim, specimen->files[file ? 0 : 1],
                                         &other_size);
    change->offset = offset;
    change->size = 1;
    if (kind <= ALTER_FLIP_7)
        change->bytes[0] = from[offset] ^ (uint8_t)(1 << kind);
    else if (kind == ALTER_ZERO || kind == ALTER_ONES)
        change->bytes[0] = kind == ALTER_ZERO ? 0 : 0xff;
    else if (kind == ALTER_CUT)
        change->size = 0;
    if (kind < ALTER_BYTE_COUNT)
        return kind == ALTER_CUT || change->bytes[0] != from[offset];
    change->size = kind >= ALTER_PAGE_ZERO ? 4096 : 512;
    if (offset % change->size != 0 || offset + change->size > size)
        return false;
    unsigned way = (kind - ALTER_SECTOR_ZERO) % 3;
    const uint8_t *source = way == 1 ? other + offset : from + (offset + 3 * 4096) % size;
    if ((way == 1 && offset + change->size > other_size) ||
        (way == 2 && (offset + 3 * 4096) % size + change->size > size))
        return false;
    if (way == 0)
        memset(change->bytes, 0, change->size);
    else
        memcpy(change->bytes, source, change->size);
    return memcmp(change->bytes, from + offset, change->size) != 0;
}

/* The steps that the flushes prove which begin outside the change: the last such one proves all
 * before it. A single byte can only hide the flush it stands in. */
static size_t proven_steps(const struct specimen *specimen, size_t file,
                           const struct change *change)
{
    const struct flush_start *flushes = specimen->flushes;
    size_t last = specimen->flush_count - 1;
    char name[64];
    snprintf(name, sizeof name, "wal/%016" PRIx64 ".seg", flushes[last].segment);
    if (change->size <= 1 || strcmp(name, specimen->files[file]) != 0)
        return flushes[last].steps;
    while (last > 0 && flushes[last].segment == flushes[last - 1].segment &&
           flushes[last].offset + RECORD_HEADER_SIZE > change->offset &&
           flushes[last].offset < change->offset + change->size)
        last--;
    return flushes[last].steps;
}

/* --- one case --- */

static void check_refusal(const struct specimen *specimen, const struct err *err)
{
    (void)specimen;
    assert_int_equal(err->code, ERR_CORRUPT);
    assert_non_null(strstr(err->text, "wal/"));
    assert_non_null(strstr(err->text, "offset"));
}

static void check_recovery(const struct specimen *specimen, size_t file,
                           const struct change *change, const struct wal_recovery *recovery)
{
    assert_false(specimen->sealed);
    assert_true(change->size > 0);
    size_t from = proven_steps(specimen, file, change);
    assert_true(model_find(specimen->model, recovery, from, &found));
    bool whole = model_view_matches(&specimen->model->now, recovery);
    assert_true(whole || recovery->dropped_bytes > 0);
    assert_true((recovery->dropped_bytes > 0) == (recovery->dropped_text[0] != 0));
    if (recovery->entry_count > 0)
        fixture_check_entry(&recovery->entries[recovery->entry_count - 1],
                            recovery->entries[recovery->entry_count - 1].index);
}

/* Opens through the door given. True when the log was accepted (and so changed). */
static bool open_altered(const struct specimen *specimen, struct disk *door, size_t file,
                         const struct change *change)
{
    struct wal_options options = fixture_options(door);
    struct wal_recovery recovery = {0};
    struct wal *wal = NULL;
    struct err err = {0};
    enum err_code code = wal_open(&options, &wal, &recovery, &err);
    if (code)
        check_refusal(specimen, &err);
    else
        check_recovery(specimen, file, change, &recovery);
    wal_recovery_release(&recovery);
    wal_abandon(wal);
    return code == ERR_OK;
}

static struct sim_disk *work;
static struct sim_disk *work_of;        /* the specimen's disk it is a copy of */

static void work_renew(const struct specimen *specimen)
{
    sim_disk_free(work);
    work = sim_disk_clone(specimen->sim, 1);
    work_of = specimen->sim;
}

static void run_case(const struct specimen *specimen, size_t file, const struct change *change)
{
    const char *name = specimen->files[file];
    uint64_t size;
    const uint8_t *old = sim_disk_look(specimen->sim, name, &size);
    if (work_of != specimen->sim)
        work_renew(specimen);
    if (change->size == 0)
        sim_disk_truncate(work, name, change->offset);
    else
        sim_disk_poke(work, name, change->offset, change->bytes, change->size);
    uint64_t changes = sim_disk_changes(work);
    bool accepted = open_altered(specimen, sim_disk_door(work), file, change);
    assert_true(accepted || sim_disk_changes(work) == changes);
    if (accepted || change->size == 0)
        work_renew(specimen);
    else
        sim_disk_poke(work, name, change->offset, old + change->offset, change->size);
}

/* --- all cases, in an order that never changes --- */

static struct specimen specimens[4];

static void specimens_make(void)
{
    specimen_make(&specimens[0], "sealed, fresh", true, false);
    specimen_make(&specimens[1], "sealed, recycled", true, true);
    specimen_make(&specimens[2], "unsealed, fresh", false, false);
    specimen_make(&specimens[3], "unsealed, recycled", false, true);
}

static void specimens_release(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(specimens); i++)
        specimen_release(&specimens[i]);
    sim_disk_free(work);
    work = work_of = NULL;
}

/* Case number n, or false behind the last one. ret_change->offset is set even where the case turns
 * out to change nothing (*ret_real false). */
static bool case_find(uint64_t number, const struct specimen **ret_specimen, size_t *ret_file,
                      struct change *ret_change, bool *ret_real)
{
    for (size_t i = 0; i < ARRAY_COUNT(specimens); i++) {
        for (size_t file = 0; file < specimens[i].file_count; file++) {
            uint64_t size = 0;
            (void)sim_disk_look(specimens[i].sim, specimens[i].files[file], &size);
            if (number < size * ALTER_COUNT) {
                *ret_specimen = &specimens[i];
                *ret_file = file;
                *ret_real = change_make(&specimens[i], file, number / ALTER_COUNT,
                                        (enum alteration)(number % ALTER_COUNT), ret_change);
                return true;
            }
            number -= size * ALTER_COUNT;
        }
    }
    return false;
}

static uint64_t sweep(uint64_t from, uint64_t to, uint64_t stride)
{
    const struct specimen *specimen;
    static struct change change;
    size_t file;
    bool real;
    uint64_t done = 0;
    for (uint64_t number = from; number < to; number += stride) {
        if (!case_find(number, &specimen, &file, &change, &real))
            break;
        if (real) {
            run_case(specimen, file, &change);
            done++;
        }
    }
    return done;
}

static uint64_t case_count(void)
{
    uint64_t count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(specimens); i++)
        for (size_t file = 0; file < specimens[i].file_count; file++) {
            uint64_t size = 0;
            (void)sim_disk_look(specimens[i].sim, specimens[i].files[file], &size);
            count += size * ALTER_COUNT;
        }
    return count;
}

/* --- the sample --- */

static int setup(void **state)
{
    (void)state;
    specimens_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    specimens_release();
    return 0;
}

/* Primes, so that every offset within a record and every alteration has its turn. */
static void test_altered_logs_are_refused_or_cut(void **state)
{
    (void)state;
    uint64_t count = case_count();
    uint64_t stride = count / 12000 | 1;
    while (stride % 3 == 0 || stride % 17 == 0)
        stride += 2;
    assert_true(sweep(0, count, stride) > 5000);
}

static void alter_range(const struct specimen *specimen, uint64_t from, uint64_t to)
{
    static struct change change;
    size_t file = specimen->file_count - (specimen->sealed ? 2 : 1);
    for (uint64_t at = from; at < to; at++)
        for (int kind = 0; kind < ALTER_BYTE_COUNT; kind += 3)
            if (change_make(specimen, file, at, (enum alteration)kind, &change))
                run_case(specimen, file, &change);
}

/* Headers are where a byte decides most: those around the last flush, and the very last one. */
static void test_every_byte_of_the_last_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(specimens); i++) {
        const struct specimen *specimen = &specimens[i];
        const struct flush_start *last = &specimen->flushes[specimen->flush_count - 1];
        uint64_t header = specimen->end - record_size_of(16 + 1000);
        alter_range(specimen, last->offset - 80, last->offset + 120);
        alter_range(specimen, header, header + RECORD_HEADER_SIZE + 16);
    }
}

static void alter_file(const char *root, const char *name, const struct change *change)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    int descriptor = open(path, O_WRONLY);
    assert_true(descriptor >= 0);
    if (change->size == 0)
        assert_int_equal(ftruncate(descriptor, (off_t)change->offset), 0);
    else
        assert_int_equal(pwrite(descriptor, change->bytes, change->size, (off_t)change->offset),
                         change->size);
    close(descriptor);
}

/* A thousand of the cases on real files. */
static void test_real_files(void **state)
{
    (void)state;
    static struct change change;
    uint64_t stride = case_count() / 1000, done = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        const struct specimen *specimen;
        size_t file;
        bool real;
        if (!case_find(i * stride + i % 17, &specimen, &file, &change, &real) || !real)
            continue;
        char *root = test_folder_new();
        struct disk *disk;
        assert_ok(disk_posix_new(root, &disk, NULL));
        sim_disk_export(specimen->sim, FIXTURE_FOLDER, root);
        alter_file(root, specimen->files[file], &change);
        (void)open_altered(specimen, disk, file, &change);
        disk_posix_free(disk);
        test_folder_remove(root);
        done++;
    }
    assert_true(done > 400);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_altered_logs_are_refused_or_cut),
    cmocka_unit_test(test_every_byte_of_the_last_headers),
    cmocka_unit_test(test_real_files),
};

/* --- the whole --- */

static const char *state_path;

static uint64_t state_read(void)
{
    unsigned long long number = 0;
    FILE *file = fopen(state_path, "r");
    if (file && fscanf(file, "%llu", &number) != 1)
        number = 0;
    if (file)
        fclose(file);
    return number;
}

static void state_write(uint64_t number)
{
    FILE *file = fopen(state_path, "w");
    assert_non_null(file);
    fprintf(file, "%" PRIu64 "\n", number);
    assert_int_equal(fclose(file), 0);
}

static void test_full(void **state)
{
    (void)state;
    uint64_t count = case_count(), done = 0;
    const uint64_t part = 100000;
    for (uint64_t number = state_read(); number < count; number += part) {
        done += sweep(number, number + part < count ? number + part : count, 1);
        state_write(number + part < count ? number + part : count);
        printf("wal-sweep %" PRIu64 " of %" PRIu64 " places, %" PRIu64 " cases now\n",
               number + part < count ? number + part : count, count, done);
        fflush(stdout);
    }
}

static const struct CMUnitTest full_tests[] = {
    cmocka_unit_test(test_full),
};

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--full") == 0) {
        state_path = argv[2];
        return cmocka_run_group_tests(full_tests, setup, teardown);
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
