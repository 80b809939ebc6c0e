# Tests of mvcc.

# Names, sessions, settings, quota, the system range, rename.
noinst_HEADERS += tests/unit/tree_fixture.h
TREE_TEST_LIBS = libmvcc.a libproto.a libbase.a $(CMOCKA_LIBS) $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) -lpthread

UNIT += tests/unit/test_names
tests_unit_test_names_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_names_LDADD = $(TREE_TEST_LIBS)

UNIT += tests/unit/test_rename
tests_unit_test_rename_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_rename_LDADD = $(TREE_TEST_LIBS)

UNIT += tests/unit/test_session
tests_unit_test_session_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_session_LDADD = $(TREE_TEST_LIBS)

UNIT += tests/unit/test_tree_faults
tests_unit_test_tree_faults_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tree_faults_LDADD = $(TREE_TEST_LIBS)

UNIT += tests/unit/test_settings
tests_unit_test_settings_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_settings_LDADD = $(TREE_TEST_LIBS)

# Backends, batch, index, store.
MVCC_LIBS = libmvcc.a libproto.a libbase.a $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) $(CMOCKA_LIBS) -lpthread

UNIT += tests/unit/test_backend tests/unit/test_batch
tests_unit_test_backend_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_backend_LDADD = $(MVCC_LIBS)
tests_unit_test_batch_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_batch_LDADD = $(MVCC_LIBS)

UNIT += tests/unit/test_changes
tests_unit_test_changes_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_changes_LDADD = $(MVCC_LIBS)

UNIT += tests/unit/test_row_cache
tests_unit_test_row_cache_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_row_cache_LDADD = $(MVCC_LIBS)

UNIT += tests/unit/test_order
tests_unit_test_order_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_order_LDADD = $(MVCC_LIBS)

UNIT += tests/unit/test_store
noinst_HEADERS += tests/unit/store_model.h
tests_unit_test_store_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_store_LDADD = $(MVCC_LIBS)

# make tests/bench/bench_store
EXTRA_PROGRAMS += tests/bench/bench_store
tests_bench_bench_store_SOURCES = tests/bench/bench_store.c
tests_bench_bench_store_LDADD = libmvcc.a libproto.a libbase.a $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) -lpthread

UNIT += tests/unit/test_store_faults
noinst_HEADERS += tests/unit/store_fixture.h
tests_unit_test_store_faults_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_store_faults_LDADD = $(MVCC_LIBS)

UNIT += tests/unit/test_store_entries tests/unit/test_store_threads
tests_unit_test_store_entries_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_store_entries_LDADD = $(MVCC_LIBS)
tests_unit_test_store_threads_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_store_threads_LDADD = $(MVCC_LIBS)

UNIT += tests/unit/test_position
tests_unit_test_position_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_position_LDADD = $(MVCC_LIBS)

UNIT += tests/unit/test_alarm
tests_unit_test_alarm_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_alarm_LDADD = $(MVCC_LIBS)

# Leases: deadlines, and rows.
UNIT += tests/unit/test_lease tests/unit/test_lease_rows
tests_unit_test_lease_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_lease_LDADD = $(MVCC_LIBS)
tests_unit_test_lease_rows_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_lease_rows_LDADD = $(TREE_TEST_LIBS)

# Where stores live, and their way from one member to another.
UNIT += tests/unit/test_manifest
noinst_HEADERS += tests/unit/manifest_writer.h
tests_unit_test_manifest_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_manifest_LDADD = $(MVCC_LIBS)

UNIT += tests/unit/test_home tests/unit/test_home_load tests/unit/test_home_writes
noinst_HEADERS += tests/unit/home_fixture.h
tests_unit_test_home_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_home_LDADD = $(MVCC_LIBS)
tests_unit_test_home_load_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_home_load_LDADD = $(MVCC_LIBS)
tests_unit_test_home_writes_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_home_writes_LDADD = $(MVCC_LIBS)
# Watches.
noinst_HEADERS += tests/unit/watch_fixture.h
UNIT += tests/unit/test_watch tests/unit/test_watch_index tests/unit/test_watch_random
tests_unit_test_watch_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_watch_LDADD = $(MVCC_LIBS)
tests_unit_test_watch_index_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_watch_index_LDADD = $(MVCC_LIBS)
tests_unit_test_watch_random_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_watch_random_LDADD = $(MVCC_LIBS)
