# libcluster.a
noinst_LIBRARIES += libcluster.a

libcluster_a_SOURCES = \
	cluster/client.c cluster/client.h \
	cluster/client_find.c \
	cluster/cmd.c cluster/cmd.h \
	cluster/cmd_compact.c \
	cluster/cmd_del.c \
	cluster/cmd_get.c \
	cluster/cmd_ls.c \
	cluster/cmd_print.c cluster/cmd_print.h \
	cluster/cmd_put.c \
	cluster/cmd_status.c \
	cluster/cmd_wal.c \
	cluster/socket.h cluster/socket_uv.c
libcluster_a_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)
