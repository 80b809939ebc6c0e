/* concordfs del: keys, and with them what the filesystem knows of them. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "cluster/cmd.h"
#include "cluster/cmd_print.h"

static const char help[] =
    "usage: concordfs del [OPTION..] KEY [END]\n"
    "\n"
    "Deletes a key, or every key from KEY up to END (exclusive), in one revision, and prints how many\n"
    "there were. Old revisions keep them until a compaction.\n"
    "\n"
    "  --prefix            every key that starts with KEY (all of them when KEY is empty)\n"
    "  --from-key          every key from KEY on\n"
    "  --prev-kv           print the deleted keys and values, too\n"
    "  -w, --write-out F   plain (default) or json\n"
    "  --data DIR          the member: its data folder, or a folder of its mount\n"
    "\n"
    "Examples:\n"
    "  concordfs del /app/port\n"
    "  concordfs del --prefix /app/old/\n"
    "\n"
    "Exit status: 0 deleted, 1 failed, 2 usage, 3 nothing was there.\n";

struct del {
    const char *data;
    struct cmd_keys keys;
    bool want_previous;
    enum cmd_format format;
    struct bytes key;
    struct buf end;
};

enum { OPTION_PREFIX = 256, OPTION_FROM_KEY, OPTION_PREVIOUS, OPTION_DATA };

static const struct option options[] = {
    {"prefix", no_argument, NULL, OPTION_PREFIX},
    {"from-key", no_argument, NULL, OPTION_FROM_KEY},
    {"prev-kv", no_argument, NULL, OPTION_PREVIOUS},
    {"write-out", required_argument, NULL, 'w'},
    {"data", required_argument, NULL, OPTION_DATA},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int del_option(struct del *del, int option, char **argv)
{
    switch (option) {
    case OPTION_PREFIX: del->keys.is_prefix = true; break;
    case OPTION_FROM_KEY: del->keys.is_from_key = true; break;
    case OPTION_PREVIOUS: del->want_previous = true; break;
    case OPTION_DATA: del->data = optarg; break;
    case 'w':
        if (cmd_parse_format(optarg, &del->format) != ERR_OK)
            return cmd_usage("del", "unknown format: \"%s\"", optarg);
        break;
    default: return cmd_bad_option("del", option, argv);
    }
    return CMD_OK;
}

static enum err_code del_call(struct del *del, struct client *client,
                              struct socket_response *response, struct err *err)
{
    struct kv_op op = {.kind = KV_OP_DELETE,
                       .del = {.key = del->key, .range_end = buf_bytes(&del->end),
                               .want_previous = del->want_previous}};
    struct socket_request request = {.kind = SOCKET_TXN,
                                     .txn = {.success = &op, .success_count = 1}};
    enum err_code code = client_call(client, &request, response, err);
    if (code != ERR_OK)
        return code;
    if (response->result.txn.count != 1 || response->result.txn.results[0].kind != KV_OP_DELETE)
        return err_set(err, ERR_CORRUPT, "the member's answer is not that of a delete");
    return ERR_OK;
}

static void del_print_json(const struct socket_response *response,
                           const struct kv_op_result *result, int64_t previous_count)
{
    struct client_header header = print_header_of(response);
    putchar('{');
    print_json_header(&header);
    if (result->del.deleted)
        printf(",\"deleted\":%" PRId64, result->del.deleted);
    for (int64_t i = 0; i < previous_count; i++) {
        fputs(i ? "," : ",\"prev_kvs\":[", stdout);
        print_json_item(&result->del.previous[i]);
    }
    fputs(previous_count ? "]}\n" : "}\n", stdout);
}

static void del_print_plain(const struct kv_op_result *result, int64_t previous_count)
{
    printf("%" PRId64 "\n", result->del.deleted);
    for (int64_t i = 0; i < previous_count; i++) {
        print_line(result->del.previous[i].key);
        print_line(result->del.previous[i].value);
    }
}

static int del_run(struct del *del)
{
    struct client client = {0};
    struct socket_response response;
    struct err err = {0};
    int64_t deleted = 0;
    enum err_code code = client_open(&client, del->data, &err);
    if (code == ERR_OK)
        code = del_call(del, &client, &response, &err);
    if (code == ERR_OK) {
        const struct kv_op_result *result = &response.result.txn.results[0];
        deleted = result->del.deleted;
        int64_t previous_count = del->want_previous && result->del.previous ? deleted : 0;
        if (del->format == CMD_JSON)
            del_print_json(&response, result, previous_count);
        else
            del_print_plain(result, previous_count);
    }
    client_close(&client);
    if (code != ERR_OK)
        return cmd_fail("del", code, &err);
    return cmd_finish("del", deleted ? CMD_OK : CMD_NOT_FOUND);
}

int cmd_del(int argc, char **argv)
{
    struct del del = {0};
    int status = CMD_OK, option;
    optind = 0;
    while (status == CMD_OK && (option = getopt_long(argc, argv, ":w:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return cmd_finish("del", CMD_OK);
        }
        status = del_option(&del, option, argv);
    }
    if (status == CMD_OK)
        status = cmd_parse_keys("del", del.keys, argc - optind, argv + optind, &del.key, &del.end);
    if (status == CMD_OK)
        status = del_run(&del);
    buf_release(&del.end);
    return status;
}
