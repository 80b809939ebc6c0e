/* many DATA COUNT SIZE PREFIX [CLIENTS]: COUNT puts of SIZE bytes each, an entry of the log each, through the
 * socket of DATA's member by CLIENTS at once (32), to keys PREFIX/CLIENT/NUMBER, which come again after
 * KEYS_EACH of them. What a key holds at the end depends on the arguments alone. Ends at the first put that is
 * refused, and says so; status 1 then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/client.h"
#include "proto/base/mem.h"

#define KEYS_EACH 100

static enum err_code put(struct client *client, struct bytes key, struct bytes value, struct err *err)
{
    struct socket_response response;
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = key, .value = value}};
    struct socket_request request = {.kind = SOCKET_TXN, .txn = {.success = &op, .success_count = 1}};
    return client_call(client, &request, &response, err);
}

static int work(const char *place, long client_number, long count, size_t size, const char *prefix)
{
    struct client client = {0};
    struct err err = {0};
    char key[256];
    char *value = mem_xalloc(size + 1);
    enum err_code code = client_open(&client, place, &err);
    for (long i = 0; code == ERR_OK && i < count; i++) {
        uint64_t state = (uint64_t)(client_number * 1000000007 + i);
        for (size_t at = 0; at < size; at++) {          /* nothing that tables could compress */
            state = state * 6364136223846793005u + 1442695040888963407u;
            value[at] = (char)(state >> 56);
        }
        snprintf(key, sizeof key, "%s/%ld/%ld", prefix, client_number, i % KEYS_EACH);
        code = put(&client, bytes_of_text(key), bytes_of(value, size), &err);
    }
    client_close(&client);
    free(value);
    if (code != ERR_OK)
        fprintf(stderr, "many: %s\n", err.text);
    return code == ERR_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    long count = atol(argv[2]), clients = argc > 5 ? atol(argv[5]) : 32;
    int worst = 0, status;
    for (long i = 0; i < clients; i++)
        if (fork() == 0)
            _exit(work(argv[1], i, count / clients + (i < count % clients), (size_t)atol(argv[3]),
                       argv[4]));
    while (wait(&status) > 0)
        if (!WIFEXITED(status) || WEXITSTATUS(status))
            worst = 1;
    return worst;
}
