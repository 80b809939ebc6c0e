/* The two lists of files that a store is copied by: LevelDB's MANIFEST, and our own, which comes from
 * another member. Whatever the bytes, they are read or refused. The first byte says which, and whether
 * its checksum is made to fit first. */
#include "mvcc/home_internal.h"
#include "mvcc/manifest.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "tests/unit/manifest_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TABLES_MAX 1000

static void check_manifest(struct bytes from)
{
    struct manifest manifest = {0}, again = {0};
    if (manifest_decode(from, TABLES_MAX, &manifest, NULL) != ERR_OK)
        return;
    CHECK(manifest.size <= from.size && manifest.count <= TABLES_MAX);
    for (size_t i = 1; i < manifest.count; i++)
        CHECK(manifest.tables[i - 1].number < manifest.tables[i].number);
    /* What is left out at the end makes no difference. */
    CHECK(manifest_decode(bytes_of(from.data, manifest.size), TABLES_MAX, &again, NULL) == ERR_OK);
    CHECK(again.size == manifest.size && again.count == manifest.count);
    manifest_release(&again);
    manifest_release(&manifest);
}

static void check_edit(struct bytes from)
{
    struct buf bytes = {0};
    manifest_record(&bytes, from);
    check_manifest(buf_bytes(&bytes));
    buf_release(&bytes);
}

static void check_list(struct bytes from)
{
    struct home_manifest list = {0};
    struct buf again = {0};
    if (home_manifest_decode(from, &list, NULL) != ERR_OK)
        return;
    CHECK(list.count > 0 && list.count <= HOME_FILES_MAX);
    for (size_t i = 0; i < list.count; i++)
        CHECK(!strchr(list.files[i].name, '/') && list.files[i].name[0] != '.');
    (void)!leveldb_copy_check(&list, NULL);
    home_manifest_encode(&list, &again);
    CHECK(bytes_equal(buf_bytes(&again), from));
    buf_release(&again);
    home_manifest_release(&list);
}

static void check_body(struct bytes from)
{
    struct buf bytes = {0};
    buf_append_u8(&bytes, 1);
    buf_append_le64(&bytes, hash_bytes(HOME_ID_SEED, from));
    buf_append(&bytes, from);
    check_list(buf_bytes(&bytes));
    buf_release(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const checks[])(struct bytes) = {check_manifest, check_edit, check_list,
                                                   check_body};
    if (size > 0)
        checks[data[0] % ARRAY_COUNT(checks)](bytes_of(data + 1, size - 1));
    return 0;
}
