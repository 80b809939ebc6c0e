# libcluster.a
noinst_LIBRARIES += libcluster.a

libcluster_a_SOURCES = \
	cluster/cmd.c cluster/cmd.h

noinst_HEADERS += cluster/client.h cluster/socket.h
