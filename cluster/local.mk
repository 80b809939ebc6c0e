# libcluster.a
noinst_LIBRARIES += libcluster.a

libcluster_a_SOURCES = \
	cluster/apply.c cluster/apply.h \
	cluster/arrival.c cluster/arrival.h \
	cluster/ask.c \
	cluster/change.c \
	cluster/change_check.c cluster/change_check.h \
	cluster/client.c cluster/client.h cluster/client_find.c \
	cluster/clock.c cluster/clock.h \
	cluster/cmd.c cluster/cmd.h \
	cluster/cmd_compact.c cluster/cmd_del.c cluster/cmd_get.c cluster/cmd_ls.c \
	cluster/cmd_member.c cluster/cmd_print.c cluster/cmd_print.h cluster/cmd_put.c cluster/cmd_rebuild.c \
	cluster/cmd_serve.c cluster/cmd_status.c cluster/cmd_wal.c \
	cluster/daemon.c cluster/daemon.h \
	cluster/datadir.c cluster/datadir.h \
	cluster/divergence.c cluster/divergence.h \
	cluster/first_members.c cluster/first_members.h \
	cluster/forming.c \
	cluster/generations.c cluster/generations.h \
	cluster/join.c cluster/join.h \
	cluster/join_frame.c cluster/join_frame.h \
	cluster/kv_local.c \
	cluster/leases.c cluster/leases.h \
	cluster/logwriter.c cluster/logwriter.h \
	cluster/loop_internal_uv.h cluster/loop_uv.c cluster/loop_uv.h \
	cluster/member_call.c cluster/member_call.h \
	cluster/membership.c cluster/membership.h \
	cluster/frame.c cluster/frame.h \
	cluster/net.h \
	cluster/net_address.c cluster/net_address.h \
	cluster/net_internal_uv.h cluster/net_listen_uv.c cluster/net_lookup_uv.c \
	cluster/net_stream_uv.c cluster/net_uv.c cluster/net_uv.h \
	cluster/node.c cluster/node.h cluster/node_internal.h \
	cluster/node_divergence.c cluster/node_peers.c \
	cluster/peer.c cluster/peer.h cluster/peer_internal.h \
	cluster/peer_connection.c cluster/peer_hello.c cluster/peer_lane.c \
	cluster/peer_queue.c cluster/peer_queue.h \
	cluster/open_uv.c \
	cluster/opening.c cluster/opening.h \
	cluster/pending.c cluster/pending.h \
	cluster/propose.c cluster/propose.h \
	cluster/raft_pb.c cluster/raft_pb.h \
	cluster/raftlog.c cluster/raftlog.h \
	cluster/reopen.c cluster/reopen.h \
	cluster/snapshotter.c \
	cluster/settler.h cluster/settler_uv.c \
	cluster/socket.h cluster/socket_uv.c \
	cluster/space.c cluster/space.h \
	cluster/textfile.c cluster/textfile.h \
	cluster/start.c cluster/start.h \
	cluster/token.h \
	cluster/watches.c \
	cluster/transfer.c cluster/transfer.h cluster/transfer_in.c cluster/transfer_internal.h cluster/transfer_start.c \
	cluster/worker.h cluster/worker_threads.c
# What a membership looks like on the wire; written and read by membership.c.
EXTRA_DIST += proto/schema/member.proto
libcluster_a_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)
dist_man_MANS += cluster/concordfs.8
EXTRA_DIST += cluster/README.md

# libraft.a: the pure core. It knows proto/base and nothing else.
noinst_LIBRARIES += libraft.a
libraft_a_SOURCES = \
	cluster/raft/conf_wire.c \
	cluster/raft/config.c \
	cluster/raft/election.c \
	cluster/raft/log.c \
	cluster/raft/message.c \
	cluster/raft/outbox.c \
	cluster/raft/print.c cluster/raft/print.h \
	cluster/raft/progress.c \
	cluster/raft/quorum.c \
	cluster/raft/raft.c cluster/raft/raft.h cluster/raft/raft_internal.h \
	cluster/raft/read.c \
	cluster/raft/ready.c \
	cluster/raft/replicate.c \
	cluster/raft/role.c \
	cluster/raft/snapshot.c \
	cluster/raft/status.c
EXTRA_DIST += cluster/raft/README.md
