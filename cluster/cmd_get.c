/* concordfs get: keys and their values. */
#include <getopt.h>
#include <stdio.h>

#include "cluster/cmd.h"
#include "cluster/cmd_print.h"

static const char help[] =
    "usage: concordfs get [OPTION..] KEY [END]\n"
    "\n"
    "Prints a key and its value, or those of every key from KEY up to END (exclusive). A file at\n"
    "app/port of a mount is the key /app/port.\n"
    "\n"
    "  --prefix            every key that starts with KEY (all of them when KEY is empty)\n"
    "  --from-key          every key from KEY on\n"
    "  --rev N             as of revision N\n"
    "  --limit N           at most N keys\n"
    "  --keys-only         without values\n"
    "  --print-value-only  without keys\n"
    "  --count-only        only how many there are\n"
    "  -w, --write-out F   plain (default) or json, with keys and values in base64\n"
    "  --data DIR          the member: its data folder, or a folder of its mount\n"
    "\n"
    "Examples:\n"
    "  concordfs get /app/port\n"
    "  concordfs get --prefix /app/ --keys-only\n"
    "  concordfs get --rev 120 /app/port --print-value-only\n"
    "\n"
    "Exit status: 0 found, 1 failed, 2 usage, 3 nothing there (--count-only: 0).\n";

struct get {
    const char *data;
    struct cmd_keys keys;
    bool keys_only, count_only, values_only;
    enum cmd_format format;
    long long revision, limit;
    struct bytes key;
    struct buf end;

    struct client_header header;
    size_t printed;
};

enum { OPTION_PREFIX = 256, OPTION_FROM_KEY, OPTION_REV, OPTION_LIMIT, OPTION_KEYS, OPTION_COUNT,
       OPTION_VALUES, OPTION_DATA };

static const struct option options[] = {
    {"prefix", no_argument, NULL, OPTION_PREFIX},
    {"from-key", no_argument, NULL, OPTION_FROM_KEY},
    {"rev", required_argument, NULL, OPTION_REV},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"keys-only", no_argument, NULL, OPTION_KEYS},
    {"count-only", no_argument, NULL, OPTION_COUNT},
    {"print-value-only", no_argument, NULL, OPTION_VALUES},
    {"write-out", required_argument, NULL, 'w'},
    {"data", required_argument, NULL, OPTION_DATA},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int get_number(const char *name, long long *ret)
{
    if (cmd_parse_number(optarg, 0, INT64_MAX, ret) != ERR_OK)
        return cmd_usage("get", "%s is no number: \"%s\"", name, optarg);
    return CMD_OK;
}

static int get_option(struct get *get, int option, char **argv)
{
    switch (option) {
    case OPTION_PREFIX: get->keys.is_prefix = true; break;
    case OPTION_FROM_KEY: get->keys.is_from_key = true; break;
    case OPTION_REV: return get_number("--rev", &get->revision);
    case OPTION_LIMIT: return get_number("--limit", &get->limit);
    case OPTION_KEYS: get->keys_only = true; break;
    case OPTION_COUNT: get->count_only = true; break;
    case OPTION_VALUES: get->values_only = true; break;
    case OPTION_DATA: get->data = optarg; break;
    case 'w':
        if (cmd_parse_format(optarg, &get->format) != ERR_OK)
            return cmd_usage("get", "unknown format: \"%s\"", optarg);
        break;
    default: return cmd_bad_option("get", option, argv);
    }
    return CMD_OK;
}

static void get_print_plain(const struct get *get, const struct kv_item *item)
{
    if (!get->values_only)
        print_line(item->key);
    if (!get->keys_only)
        print_line(item->value);
}

static enum err_code get_each(void *context, const struct kv_item *item)
{
    struct get *get = context;
    if (get->format == CMD_PLAIN) {
        get_print_plain(get, item);
    } else {
        if (get->printed == 0) {
            putchar('{');
            print_json_header(&get->header);
        }
        fputs(get->printed ? "," : ",\"kvs\":[", stdout);
        print_json_item(item);
    }
    get->printed++;
    return ERR_OK;
}

static void get_print_end(const struct get *get)
{
    if (get->format == CMD_PLAIN) {
        if (get->count_only)
            printf("%lld\n", (long long)get->header.total);
        return;
    }
    if (get->printed) {
        putchar(']');
    } else {
        putchar('{');
        print_json_header(&get->header);
    }
    if (get->header.more)
        fputs(",\"more\":true", stdout);
    if (get->header.total)
        printf(",\"count\":%lld", (long long)get->header.total);
    fputs("}\n", stdout);
}

static int get_run(struct get *get)
{
    struct client client = {0};
    struct err err = {0};
    struct client_range walk = {
        .range = {.key = get->key, .range_end = buf_bytes(&get->end), .revision = get->revision,
                  .limit = get->limit, .keys_only = get->keys_only,
                  .count_only = get->count_only},
        .context = get, .each = get_each};
    enum err_code code = client_open(&client, get->data, &err);
    if (code == ERR_OK)
        code = client_range(&client, &walk, &get->header, &err);
    client_close(&client);
    if (code != ERR_OK)
        return cmd_fail("get", code, &err);
    get_print_end(get);
    if (get->header.total == 0 && !get->count_only)
        return cmd_fail("get", err_set(&err, ERR_NOT_FOUND, "not found: \"%.*s\"",
                                       (int)get->key.size, (const char *)get->key.data), &err);
    return cmd_finish("get", CMD_OK);
}

int cmd_get(int argc, char **argv)
{
    struct get get = {0};
    int status = CMD_OK, option;
    optind = 0;
    while (status == CMD_OK && (option = getopt_long(argc, argv, ":w:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return cmd_finish("get", CMD_OK);
        }
        status = get_option(&get, option, argv);
    }
    if (status == CMD_OK && get.keys_only && get.values_only)
        status = cmd_usage("get", "only one of --keys-only and --print-value-only");
    if (status == CMD_OK)
        status = cmd_parse_keys("get", get.keys, argc - optind, argv + optind, &get.key, &get.end);
    if (status == CMD_OK)
        status = get_run(&get);
    buf_release(&get.end);
    return status;
}
