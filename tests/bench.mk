# Benchmarks. "make bench WORKLOADS='create cat-hot'" runs some; BENCH_QUICK=1 is a run of seconds.
EXTRA_PROGRAMS += tests/bench/bench_fs tests/bench/empty-fuse
tests_bench_bench_fs_SOURCES = tests/bench/bench_fs.c tests/bench/bench.c tests/bench/bench.h
tests_bench_bench_fs_LDADD = -lpthread
tests_bench_empty_fuse_SOURCES = tests/bench/empty_fuse.c
tests_bench_empty_fuse_CFLAGS = $(AM_CFLAGS) $(FUSE_CFLAGS)
tests_bench_empty_fuse_LDADD = $(FUSE_LIBS)
EXTRA_DIST += tests/bench/bench.sh

.PHONY: bench
bench: concordfs tests/bench/bench_fs tests/bench/empty-fuse
	BUILDDIR='$(abs_top_builddir)' $(SHELL) $(srcdir)/tests/bench/bench.sh $(WORKLOADS)

EXTRA_PROGRAMS += tests/bench/bench_member
tests_bench_bench_member_SOURCES = tests/bench/bench_member.c tests/bench/bench.c \
	tests/bench/bench.h tests/bench/floor_leveldb.c tests/bench/floor_leveldb.h
tests_bench_bench_member_LDADD = $(CLUSTER_LIBS) $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) $(UV_LIBS) \
	-lpthread

# "make bench-member WORKLOADS='64 keys'". The small keys have a process of their own, whose memory is
# looked at.
.PHONY: bench-member
bench-member: tests/bench/bench_member
	@for names in $(if $(WORKLOADS),'$(WORKLOADS)','1 64 1000' keys); do \
	  folder=$$(mktemp -d "$${BENCH_DIR:-$${TMPDIR:-/tmp}}/concordfs-bench-XXXXXX") || exit 1; \
	  tests/bench/bench_member "$$folder" $$names; status=$$?; \
	  rm -rf "$$folder"; test $$status = 0 || exit $$status; \
	done

EXTRA_PROGRAMS += tests/bench/bench_cluster tests/bench/bench_visibility
tests_bench_bench_cluster_SOURCES = tests/bench/bench_cluster.c tests/bench/bench_cluster.h \
	tests/bench/bench_failover.c tests/bench/bench_state.c tests/bench/rig.c tests/bench/rig.h \
	tests/bench/rig_floor.c tests/bench/rig_internal.h tests/bench/rig_member.c tests/bench/bench.c \
	tests/bench/bench.h tests/bench/floor_leveldb.c tests/bench/floor_leveldb.h
tests_bench_bench_cluster_LDADD = $(CLUSTER_LIBS) $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) $(UV_LIBS) \
	-lpthread
tests_bench_bench_visibility_SOURCES = tests/bench/bench_visibility.c tests/bench/bench.c \
	tests/bench/bench.h
EXTRA_DIST += tests/bench/bench_cluster.sh

# Three members on this machine. "make bench-cluster WORKLOADS='kill join'"; FULL=1 takes half an hour.
.PHONY: bench-cluster
bench-cluster: concordfs tests/bench/bench_cluster tests/bench/bench_visibility
	BUILDDIR='$(abs_top_builddir)' $(SHELL) $(srcdir)/tests/bench/bench_cluster.sh $(WORKLOADS)
