# Tests of fs that need no mount.

# open files
UNIT += tests/unit/test_staging
tests_unit_test_staging_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_staging_LDADD = libfs.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_follow
tests_unit_test_follow_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_follow_LDADD = libfs.a libbase.a $(CMOCKA_LIBS) -lpthread

UNIT += tests/unit/test_beneath
tests_unit_test_beneath_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_beneath_LDADD = libfs.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_watchers
tests_unit_test_watchers_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_watchers_LDADD = $(SIM_MOUNT_LDADD)

UNIT += tests/unit/test_process
tests_unit_test_process_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_process_LDADD = libfs.a libbase.a $(CMOCKA_LIBS) -lpthread

# names, nodes, options
UNIT += tests/unit/test_layout
tests_unit_test_layout_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_layout_LDADD = libfs.a libproto.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_nodes
tests_unit_test_nodes_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_nodes_LDADD = libfs.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_mount_options
tests_unit_test_mount_options_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_mount_options_LDADD = libfs.a libbase.a $(CMOCKA_LIBS)

# a mount without a kernel and without a member
noinst_LIBRARIES += libsimmount.a
libsimmount_a_SOURCES = \
	tests/sim/kv_direct.c tests/sim/kv_direct.h \
	tests/sim/sim_kernel.c tests/sim/sim_kernel.h \
	tests/sim/sim_mount.c tests/sim/sim_mount.h
SIM_MOUNT_LDADD = libsimmount.a libfs.a libmvcc.a libproto.a libbase.a \
	$(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) $(FUSE_LIBS) $(CMOCKA_LIBS) -lpthread

UNIT += tests/unit/test_kv_direct
tests_unit_test_kv_direct_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_kv_direct_LDADD = $(SIM_MOUNT_LDADD)

UNIT += tests/unit/test_op_file
tests_unit_test_op_file_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_op_file_LDADD = $(SIM_MOUNT_LDADD)

UNIT += tests/unit/test_attempt tests/unit/test_moves
tests_unit_test_attempt_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_attempt_LDADD = $(SIM_MOUNT_LDADD)
tests_unit_test_moves_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_moves_LDADD = $(SIM_MOUNT_LDADD)

UNIT += tests/unit/test_kv_direct_watch
tests_unit_test_kv_direct_watch_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_kv_direct_watch_LDADD = $(SIM_MOUNT_LDADD)

UNIT += tests/unit/test_op_read
tests_unit_test_op_read_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_op_read_LDADD = $(SIM_MOUNT_LDADD)
noinst_HEADERS += tests/unit/op_file_fixture.h

UNIT += tests/unit/test_op_pending
tests_unit_test_op_pending_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_op_pending_LDADD = $(SIM_MOUNT_LDADD)

UNIT += tests/unit/test_quorum
tests_unit_test_quorum_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_quorum_LDADD = $(SIM_MOUNT_LDADD)

UNIT += tests/unit/test_stream
tests_unit_test_stream_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_stream_LDADD = $(SIM_MOUNT_LDADD)

UNIT += tests/unit/test_op_tree
tests_unit_test_op_tree_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_op_tree_LDADD = $(SIM_MOUNT_LDADD)

UNIT += tests/unit/test_op_lock
tests_unit_test_op_lock_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_op_lock_LDADD = $(SIM_MOUNT_LDADD)

UNIT += tests/unit/test_notify
tests_unit_test_notify_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_notify_LDADD = $(SIM_MOUNT_LDADD)
