# Tests of cluster.

# the member: each links what its folder may use
CLUSTER_LIBS = libcluster.a libraft.a libmvcc.a libwal.a libproto.a libbase.a
CLUSTER_LDADD = $(CLUSTER_LIBS) $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) $(UV_LIBS) $(CMOCKA_LIBS) -lpthread
EXTRA_DIST += tests/sim/sim_worker.h

# a net without a kernel
noinst_LIBRARIES += libsimnet.a
libsimnet_a_SOURCES = \
	tests/sim/sim_net.c tests/sim/sim_net.h \
	tests/sim/sim_net_faults.c tests/sim/sim_net_internal.h

UNIT += tests/unit/test_pending
tests_unit_test_pending_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_pending_LDADD = $(CLUSTER_LDADD)

UNIT += tests/unit/test_raftlog
tests_unit_test_raftlog_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raftlog_LDADD = libcluster.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_raft_pb
tests_unit_test_raft_pb_CFLAGS = $(UNIT_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_unit_test_raft_pb_LDADD = libcluster.a libraft.a libproto.a libbase.a $(CMOCKA_LIBS) \
	$(PROTOBUF_C_LIBS)

UNIT += tests/unit/test_sim_net
tests_unit_test_sim_net_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_sim_net_LDADD = libsimnet.a libcluster.a libraft.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_frame
tests_unit_test_frame_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_frame_LDADD = libcluster.a libraft.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_peer tests/unit/test_peer_queue tests/unit/test_peer_faults
PEER_LDADD = libsimnet.a libcluster.a libraft.a libbase.a $(CMOCKA_LIBS)
EXTRA_DIST += tests/unit/peer_fixture.h
tests_unit_test_peer_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_peer_LDADD = $(PEER_LDADD)
tests_unit_test_peer_queue_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_peer_queue_LDADD = $(PEER_LDADD)
tests_unit_test_peer_faults_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_peer_faults_LDADD = $(PEER_LDADD)
UNIT += tests/unit/test_token
tests_unit_test_token_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_token_LDADD = libbase.a $(CMOCKA_LIBS)
UNIT += tests/unit/test_membership
tests_unit_test_membership_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_membership_LDADD = libcluster.a libraft.a libbase.a $(CMOCKA_LIBS)
UNIT += tests/unit/test_divergence
tests_unit_test_divergence_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_divergence_LDADD = libcluster.a libraft.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_datadir
tests_unit_test_datadir_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_datadir_LDADD = libcluster.a libwal.a libbase.a $(CMOCKA_LIBS)

# a cluster that begins, and who joins it
UNIT += tests/unit/test_first_members tests/unit/test_generations tests/unit/test_join_frame \
	tests/unit/test_change_check tests/unit/test_start
BEGINNING_LDADD = libcluster.a libraft.a libwal.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_first_members_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_first_members_LDADD = $(BEGINNING_LDADD)
tests_unit_test_generations_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_generations_LDADD = $(BEGINNING_LDADD)
tests_unit_test_join_frame_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_join_frame_LDADD = $(BEGINNING_LDADD)
tests_unit_test_change_check_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_change_check_LDADD = $(BEGINNING_LDADD)
tests_unit_test_start_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_start_LDADD = libsimdisk.a $(BEGINNING_LDADD)
dist_check_SCRIPTS += tests/script/members tests/script/recovery tests/script/full-disk
TESTS += tests/script/members tests/script/recovery tests/script/full-disk
EXTRA_DIST += tests/script/lib.sh
check_PROGRAMS += tests/script/many
tests_script_many_SOURCES = tests/script/many.c
tests_script_many_LDADD = $(CLUSTER_LDADD)

UNIT += tests/unit/test_node
tests_unit_test_node_SOURCES = tests/unit/test_node.c tests/sim/sim_worker.c
tests_unit_test_node_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_node_LDADD = $(CLUSTER_LDADD)
noinst_HEADERS += tests/unit/node_fixture.h

UNIT += tests/unit/test_node_company
tests_unit_test_node_company_SOURCES = tests/unit/test_node_company.c tests/sim/sim_worker.c
tests_unit_test_node_company_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_node_company_LDADD = $(CLUSTER_LDADD)

UNIT += tests/unit/test_logwriter
tests_unit_test_logwriter_SOURCES = tests/unit/test_logwriter.c tests/sim/sim_worker.c
tests_unit_test_logwriter_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_logwriter_LDADD = libsimdisk.a $(CLUSTER_LDADD)

UNIT += tests/unit/test_worker
tests_unit_test_worker_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_worker_LDADD = $(CLUSTER_LDADD)

UNIT += tests/unit/test_transfer
tests_unit_test_transfer_SOURCES = tests/unit/test_transfer.c tests/sim/sim_worker.c
tests_unit_test_transfer_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_transfer_LDADD = $(CLUSTER_LDADD)

# leases: who may let them run out
UNIT += tests/unit/test_leases
tests_unit_test_leases_SOURCES = tests/unit/test_leases.c tests/sim/sim_worker.c
tests_unit_test_leases_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_leases_LDADD = $(CLUSTER_LDADD)

UNIT += tests/unit/test_member
tests_unit_test_member_CFLAGS = $(UNIT_CFLAGS) $(UV_CFLAGS)
tests_unit_test_member_LDADD = $(CLUSTER_LDADD)

# the net on libuv; its resolver of names is the test's own
UNIT += tests/unit/test_net_uv tests/unit/test_net_uv_addresses tests/unit/test_peer_uv
NET_UV_LDADD = libcluster.a libraft.a libbase.a $(UV_LIBS) $(CMOCKA_LIBS) -lpthread
tests_unit_test_net_uv_CFLAGS = $(UNIT_CFLAGS) $(UV_CFLAGS)
tests_unit_test_net_uv_LDADD = $(NET_UV_LDADD)
tests_unit_test_net_uv_addresses_CFLAGS = $(UNIT_CFLAGS) $(UV_CFLAGS)
tests_unit_test_net_uv_addresses_LDADD = $(NET_UV_LDADD)
tests_unit_test_peer_uv_CFLAGS = $(UNIT_CFLAGS) $(UV_CFLAGS)
tests_unit_test_peer_uv_LDADD = $(NET_UV_LDADD)
EXTRA_DIST += tests/unit/net_fixture.h

# the local socket and the commands
UNIT += tests/unit/test_socket
tests_unit_test_socket_CFLAGS = $(UNIT_CFLAGS) $(UV_CFLAGS)
tests_unit_test_socket_LDADD = $(CLUSTER_LDADD)
EXTRA_DIST += tests/unit/fake_member.h

UNIT += tests/unit/test_commands
tests_unit_test_commands_CFLAGS = $(UNIT_CFLAGS) $(UV_CFLAGS)
tests_unit_test_commands_LDADD = $(CLUSTER_LDADD)

# README.md's tours
dist_check_SCRIPTS += tests/script/readme-tour tests/script/readme-fleet
TESTS += tests/script/readme-tour tests/script/readme-fleet
