/* concordfs put: one value. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "cluster/cmd.h"
#include "cluster/cmd_print.h"
#include "proto/base/limits.h"

static const char help[] =
    "usage: concordfs put [OPTION..] KEY [VALUE]\n"
    "\n"
    "Stores VALUE at KEY; without VALUE, or when it is \"-\", what standard input holds. When it\n"
    "returns 0 the value is on the disks of a majority and visible to everyone. A VALUE or KEY that\n"
    "starts with '-' follows \"--\".\n"
    "\n"
    "  --prev-kv           print the key and value that stood there before, too\n"
    "  -w, --write-out F   plain (default) or json\n"
    "  --data DIR          the member: its data folder, or a folder of its mount\n"
    "\n"
    "Examples:\n"
    "  concordfs put /app/port 8080\n"
    "  concordfs put /app/motd < motd.txt\n"
    "  concordfs put /app/offset -- -5\n"
    "\n"
    "Exit status: 0 stored, 1 failed, 2 usage.\n";

struct put {
    const char *data;
    bool want_previous;
    enum cmd_format format;
    struct bytes key, value;
    struct buf input;
};

enum { OPTION_PREVIOUS = 256, OPTION_DATA };

static const struct option options[] = {
    {"prev-kv", no_argument, NULL, OPTION_PREVIOUS},
    {"write-out", required_argument, NULL, 'w'},
    {"data", required_argument, NULL, OPTION_DATA},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int put_option(struct put *put, int option, char **argv)
{
    switch (option) {
    case OPTION_PREVIOUS: put->want_previous = true; break;
    case OPTION_DATA: put->data = optarg; break;
    case 'w':
        if (cmd_parse_format(optarg, &put->format) != ERR_OK)
            return cmd_usage("put", "unknown format: \"%s\"", optarg);
        break;
    default: return cmd_bad_option("put", option, argv);
    }
    return CMD_OK;
}

static enum err_code put_read_input(struct buf *ret, struct err *err)
{
    for (;;) {
        buf_reserve(ret, 65536);
        ssize_t got = read(STDIN_FILENO, ret->data + ret->size, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set_errno(err, errno, "cannot read standard input");
        if (got == 0)
            return ERR_OK;
        ret->size += (size_t)got;
        if (ret->size > REQUEST_SIZE_MAX)
            return err_set(err, ERR_TOO_BIG, "standard input is longer than %d bytes",
                           REQUEST_SIZE_MAX);
    }
}

static int put_arguments(struct put *put, int count, char **words)
{
    if (count < 1 || count > 2)
        return cmd_usage("put", count ? "too many arguments" : "KEY is missing");
    put->key = bytes_of_text(words[0]);
    if (count == 2 && strcmp(words[1], "-")) {
        put->value = bytes_of_text(words[1]);
        return CMD_OK;
    }
    struct err err = {0};
    enum err_code code = put_read_input(&put->input, &err);
    put->value = buf_bytes(&put->input);
    return code == ERR_OK ? CMD_OK : cmd_fail("put", code, &err);
}

static enum err_code put_call(struct put *put, struct client *client,
                              struct socket_response *response, struct err *err)
{
    struct kv_op op = {.kind = KV_OP_PUT,
                       .put = {.key = put->key, .value = put->value,
                               .want_previous = put->want_previous}};
    struct socket_request request = {.kind = SOCKET_TXN,
                                     .txn = {.success = &op, .success_count = 1}};
    enum err_code code = client_call(client, &request, response, err);
    if (code != ERR_OK)
        return code;
    if (response->result.txn.count != 1 || response->result.txn.results[0].kind != KV_OP_PUT)
        return err_set(err, ERR_CORRUPT, "the member's answer is not that of a put");
    return ERR_OK;
}

static void put_print(const struct put *put, const struct socket_response *response)
{
    const struct kv_op_result *result = &response->result.txn.results[0];
    if (put->format == CMD_JSON) {
        struct client_header header = print_header_of(response);
        putchar('{');
        print_json_header(&header);
        if (result->put.has_previous) {
            fputs(",\"prev_kv\":", stdout);
            print_json_item(&result->put.previous);
        }
        fputs("}\n", stdout);
        return;
    }
    puts("OK");
    if (result->put.has_previous) {
        print_line(result->put.previous.key);
        print_line(result->put.previous.value);
    }
}

static int put_run(struct put *put)
{
    struct client client = {0};
    struct socket_response response;
    struct err err = {0};
    enum err_code code = client_open(&client, put->data, &err);
    if (code == ERR_OK)
        code = put_call(put, &client, &response, &err);
    if (code == ERR_OK)
        put_print(put, &response);
    client_close(&client);
    return code == ERR_OK ? cmd_finish("put", CMD_OK) : cmd_fail("put", code, &err);
}

int cmd_put(int argc, char **argv)
{
    struct put put = {0};
    int status = CMD_OK, option;
    optind = 0;
    while (status == CMD_OK && (option = getopt_long(argc, argv, ":w:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return cmd_finish("put", CMD_OK);
        }
        status = put_option(&put, option, argv);
    }
    if (status == CMD_OK)
        status = put_arguments(&put, argc - optind, argv + optind);
    if (status == CMD_OK)
        status = put_run(&put);
    buf_release(&put.input);
    return status;
}
