# libcluster.a
noinst_LIBRARIES += libcluster.a

libcluster_a_SOURCES = \
	cluster/apply.c cluster/apply.h \
	cluster/client.c cluster/client.h cluster/client_find.c \
	cluster/clock.c cluster/clock.h \
	cluster/cmd.c cluster/cmd.h \
	cluster/cmd_compact.c cluster/cmd_del.c cluster/cmd_get.c cluster/cmd_ls.c \
	cluster/cmd_print.c cluster/cmd_print.h cluster/cmd_put.c cluster/cmd_status.c \
	cluster/cmd_wal.c \
	cluster/datadir.c cluster/datadir.h \
	cluster/kv_local.c \
	cluster/logwriter.c cluster/logwriter.h \
	cluster/loop_uv.c cluster/loop_uv.h \
	cluster/node.c cluster/node.h cluster/node_internal.h \
	cluster/propose.c cluster/propose.h \
	cluster/raftlog.c cluster/raftlog.h \
	cluster/snapshotter.c \
	cluster/socket.h cluster/socket_uv.c \
	cluster/token.h \
	cluster/worker.h cluster/worker_threads.c
libcluster_a_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)
EXTRA_DIST += cluster/README.md
