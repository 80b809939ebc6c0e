/* elsewhere DIR WORD..: does to the keys of DIR's member, as one txn through its socket, what another host's
 * mount would do to files:
 *
 *   rename FROM TO | exchange ONE OTHER | mkdir KEY | rmdir KEY | fifo KEY | symlink KEY TARGET
 *   chmod KEY OCTAL     (a file's)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/client.h"
#include "proto/meta.h"

static struct buf key, record;

static struct kv_op put(struct bytes at, struct bytes value)
{
    return (struct kv_op){.kind = KV_OP_PUT, .put = {.key = at, .value = value}};
}

static struct kv_op put_record(const char *prefix, const char *of, const struct meta *meta)
{
    buf_append(&key, bytes_of_text(prefix));
    buf_append(&key, bytes_of_text(of));
    meta_encode(meta, &record);
    return put(buf_bytes(&key), buf_bytes(&record));
}

static struct kv_op rename_of(const char *from, const char *to, bool is_exchange)
{
    return (struct kv_op){.kind = KV_OP_RENAME,
                          .rename = {.from = bytes_of_text(from), .to = bytes_of_text(to),
                                     .exchange = is_exchange, .replace = !is_exchange}};
}

/* How many operations; 0: the words make no sense. */
static size_t ops_of(char **words, struct kv_op ops[2])
{
    const char *what = words[0], *one = words[1], *two = one ? words[2] : NULL;
    struct meta meta = {0};
    if (!one)
        return 0;
    if (strcmp(what, "mkdir") == 0) {
        meta.type = META_DIRECTORY;
        ops[0] = put_record(KV_DIR_PREFIX, one, &meta);
    } else if (strcmp(what, "rmdir") == 0) {
        put_record(KV_DIR_PREFIX, one, &meta);
        ops[0] = (struct kv_op){.kind = KV_OP_DELETE, .del = {.key = buf_bytes(&key)}};
    } else if (strcmp(what, "fifo") == 0) {
        meta.type = META_FIFO;
        ops[0] = put_record(KV_META_PREFIX, one, &meta);
    } else if (!two) {
        return 0;
    } else if (strcmp(what, "rename") == 0 || strcmp(what, "exchange") == 0) {
        ops[0] = rename_of(one, two, what[0] == 'e');
    } else if (strcmp(what, "symlink") == 0) {
        meta.type = META_SYMLINK;
        ops[0] = put(bytes_of_text(one), bytes_of_text(two));
        ops[1] = put_record(KV_META_PREFIX, one, &meta);
        return 2;
    } else {
        return 0;
    }
    return 1;
}

static enum err_code get(struct client *client, struct bytes at, struct socket_response *ret,
                         struct err *err)
{
    struct socket_request request = {.kind = SOCKET_RANGE, .range = {.key = at}};
    return client_call(client, &request, ret, err);
}

/* What the record says besides stays; a new one counts for the life of the key that is there. */
static enum err_code chmod_op(struct client *client, const char *of, const char *mode, struct kv_op *ret,
                              struct err *err)
{
    struct socket_response response;
    struct arena arena = {0};
    struct meta meta = {0};
    struct buf at = {0};
    buf_append(&at, bytes_of_text(KV_META_PREFIX));
    buf_append(&at, bytes_of_text(of));
    enum err_code code = get(client, buf_bytes(&at), &response, err);
    bool has_record = code == ERR_OK && response.result.range.count;
    if (has_record)
        code = meta_decode(response.result.range.items[0].value, &arena, &meta);
    if (code == ERR_OK && meta.for_create == 0)
        code = get(client, bytes_of_text(of), &response, err);
    if (code == ERR_OK && meta.for_create == 0)
        meta.for_create = response.result.range.count ? response.result.range.items[0].create_revision : 0;
    meta.has_mode = true;
    meta.mode = (uint32_t)strtoul(mode, NULL, 8);
    *ret = put_record(KV_META_PREFIX, of, &meta);
    arena_release(&arena);
    buf_release(&at);
    return code;
}

int main(int argc, char **argv)
{
    struct client client = {0};
    struct socket_response response;
    struct err err = {0};
    struct kv_op ops[2];
    size_t count = 1;
    if (argc < 4)
        return 2;
    enum err_code code = client_open(&client, argv[1], &err);
    if (code == ERR_OK && argc == 5 && strcmp(argv[2], "chmod") == 0)
        code = chmod_op(&client, argv[3], argv[4], &ops[0], &err);
    else if (code == ERR_OK && (count = ops_of(argv + 2, ops)) == 0)
        return 2;
    struct socket_request request = {.kind = SOCKET_TXN,
                                     .txn = {.success = ops, .success_count = count}};
    if (code == ERR_OK)
        code = client_call(&client, &request, &response, &err);
    client_close(&client);
    buf_release(&key);
    buf_release(&record);
    if (code != ERR_OK)
        fprintf(stderr, "elsewhere: %s\n", err.text);
    return code == ERR_OK ? 0 : 1;
}
