#include "cluster/cmd_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum err_code cmd_parse_format(const char *text, enum cmd_format *ret)
{
    if (!strcmp(text, "plain") || !strcmp(text, "simple"))
        *ret = CMD_PLAIN;
    else if (!strcmp(text, "json"))
        *ret = CMD_JSON;
    else
        return ERR_INVALID;
    return ERR_OK;
}

void print_bytes(struct bytes bytes)
{
    if (bytes.size)
        fwrite(bytes.data, 1, bytes.size, stdout);
}

void print_line(struct bytes bytes)
{
    print_bytes(bytes);
    putchar('\n');
}

void print_base64(struct bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t here = bytes.size - i < 3 ? bytes.size - i : 3;
        uint32_t bits = (uint32_t)bytes.data[i] << 16;
        if (here > 1)
            bits |= (uint32_t)bytes.data[i + 1] << 8;
        if (here > 2)
            bits |= bytes.data[i + 2];
        putchar(digits[bits >> 18]);
        putchar(digits[bits >> 12 & 63]);
        putchar(here > 1 ? digits[bits >> 6 & 63] : '=');
        putchar(here > 2 ? digits[bits & 63] : '=');
    }
}

void print_json_header(const struct client_header *header)
{
    printf("\"header\":{\"cluster_id\":%" PRIu64 ",\"member_id\":%" PRIu64 ",\"revision\":%" PRId64
           ",\"raft_term\":%" PRIu64 "}",
           header->cluster_id, header->member_id, header->revision, header->raft_term);
}

static void print_base64_field(const char *name, struct bytes bytes)
{
    if (!bytes.size)
        return;
    printf(",\"%s\":\"", name);
    print_base64(bytes);
    putchar('"');
}

static void print_number_field(const char *name, int64_t number)
{
    if (number)
        printf(",\"%s\":%" PRId64, name, number);
}

void print_json_item(const struct kv_item *item)
{
    fputs("{\"key\":\"", stdout);
    print_base64(item->key);
    putchar('"');
    print_number_field("create_revision", item->create_revision);
    print_number_field("mod_revision", item->mod_revision);
    print_number_field("version", item->version);
    print_base64_field("value", item->value);
    print_number_field("lease", item->lease);
    putchar('}');
}

struct client_header print_header_of(const struct socket_response *response)
{
    return (struct client_header){.cluster_id = response->cluster_id,
                                  .member_id = response->member_id,
                                  .raft_term = response->raft_term,
                                  .revision = response->revision};
}
