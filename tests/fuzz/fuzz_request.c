/* What a log entry or the local socket holds: any bytes are decoded or refused; what is decoded comes
 * back the same after another round, and stays within its bounds. The first byte says which decoder. */
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/kv_pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Encoding is canonical after one round: what a decoded request encodes to decodes to the same. */
static void check_entry(struct bytes from)
{
    struct arena arena = {0};
    struct entry_request request;
    struct err err;
    if (entry_request_decode(from, &arena, &request, &err) == ERR_OK) {
        struct blob *once = entry_request_encode(&request);
        CHECK(entry_request_decode(blob_bytes(once), &arena, &request, &err) == ERR_OK);
        struct blob *twice = entry_request_encode(&request);
        CHECK(bytes_equal(blob_bytes(once), blob_bytes(twice)));
        blob_unref(once);
        blob_unref(twice);
    }
    arena_release(&arena);
}

static void check_socket_request(struct bytes from)
{
    struct arena arena = {0};
    struct socket_request request;
    struct err err;
    if (socket_request_decode(from, &arena, &request, &err) == ERR_OK) {
        struct buf buf = {0};
        socket_request_encode(&request, &buf);
        CHECK(socket_request_decode(bytes_skip(buf_bytes(&buf), 4), &arena, &request, &err) ==
              ERR_OK);
        if (request.kind == SOCKET_TXN && kv_validate_txn(&request.txn, &err) == ERR_OK)
            CHECK(request.txn.success_count <= TXN_OPS_MAX);
        buf_release(&buf);
    }
    arena_release(&arena);
}

static void check_socket_response(struct bytes from)
{
    struct arena arena = {0};
    struct socket_response response;
    struct err err;
    if (socket_response_decode(from, &arena, &response, &err) == ERR_OK) {
        struct buf buf = {0};
        socket_response_encode(&response, &buf);
        CHECK(socket_response_decode(bytes_skip(buf_bytes(&buf), 4), &arena, &response, &err) ==
              ERR_OK);
        buf_release(&buf);
    }
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes from = bytes_of(data + 1, size - 1);
    switch (data[0] % 3) {
    case 0: check_entry(from); break;
    case 1: check_socket_request(from); break;
    case 2: check_socket_response(from); break;
    }
    return 0;
}
