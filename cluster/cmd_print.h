/* How commands print keys and values: plain as etcdctl does, or JSON in the shape of etcd's gateway
 * (keys and values in base64, fields that are zero left out). On stdout; cmd_finish tells whether all
 * of it arrived. */
#ifndef CLUSTER_CMD_PRINT_H
#define CLUSTER_CMD_PRINT_H

#include "cluster/client.h"

enum cmd_format { CMD_PLAIN, CMD_JSON };

/* "plain" or "json"; INVALID for anything else. */
enum err_code cmd_parse_format(const char *text, enum cmd_format *ret) MUST_USE;

void print_bytes(struct bytes bytes);                   /* as they are */
void print_line(struct bytes bytes);                    /* and a newline */
void print_base64(struct bytes bytes);                  /* without quotes */
void print_json_header(const struct client_header *header);     /* "header":{...} */
void print_json_item(const struct kv_item *item);       /* {"key":...} */

/* What an answer's header says. */
struct client_header print_header_of(const struct socket_response *response);

#endif
