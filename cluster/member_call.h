/* What "concordfs member" asks through the socket, done by a node: lists, or one node_ask.
 *
 * Loop thread only.
 */
#ifndef CLUSTER_MEMBER_CALL_H
#define CLUSTER_MEMBER_CALL_H

#include "cluster/node.h"
#include "cluster/socket.h"

/* call->done runs once, later or (for a list, a bad word) before this returns. Members are called by name or
 * id. Errors: NOT_FOUND no such member; INVALID a name or address that cannot be one; as node_ask. */
void member_call_begin(struct node *node, struct socket_member_call *call);
/* Its done runs soon. */
void member_call_cancel(struct node *node, struct socket_member_call *call);

#endif
