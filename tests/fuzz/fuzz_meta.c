/* Records of files: any bytes are decoded or refused, and what is decoded has one canonical form. */
#include "proto/base/check.h"
#include "proto/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct buf once = {0}, twice = {0};
    struct meta meta;
    if (meta_decode(bytes_of(data, size), &arena, &meta) == ERR_OK) {
        meta_encode(&meta, &once);
        CHECK(meta_decode(buf_bytes(&once), &arena, &meta) == ERR_OK);
        CHECK(meta.mode <= 07777 && meta.type <= META_DIRECTORY);
        meta_encode(&meta, &twice);
        CHECK(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    }
    buf_release(&once);
    buf_release(&twice);
    arena_release(&arena);
    return 0;
}
