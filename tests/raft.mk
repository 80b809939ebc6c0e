# Tests of cluster/raft.
RAFT_SCRIPT_SOURCES = \
	tests/script/script.c tests/script/script.h \
	tests/script/raft_env.c tests/script/raft_env.h \
	tests/script/raft_storage.c tests/script/raft_storage.h \
	tests/script/raft_vectors.c tests/script/raft_vectors.h

check_PROGRAMS += tests/script/raft-script
tests_script_raft_script_SOURCES = tests/script/raft-script.c $(RAFT_SCRIPT_SOURCES)
tests_script_raft_script_LDADD = libraft.a libbase.a

noinst_HEADERS += tests/unit/raft_fixture.h

RAFT_UNIT =
UNIT += $(RAFT_UNIT)
RAFT_STORAGE = tests/script/raft_storage.c tests/script/raft_storage.h

RAFT_UNIT += tests/unit/test_raft_random
tests_unit_test_raft_random_SOURCES = tests/unit/test_raft_random.c $(RAFT_STORAGE)
tests_unit_test_raft_random_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raft_random_LDADD = libraft.a libbase.a $(CMOCKA_LIBS)

RAFT_UNIT += tests/unit/test_raft_wire
tests_unit_test_raft_wire_SOURCES = tests/unit/test_raft_wire.c
tests_unit_test_raft_wire_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raft_wire_LDADD = libraft.a libbase.a $(CMOCKA_LIBS)

RAFT_UNIT += tests/unit/test_raft_print
tests_unit_test_raft_print_SOURCES = tests/unit/test_raft_print.c
tests_unit_test_raft_print_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raft_print_LDADD = libraft.a libbase.a $(CMOCKA_LIBS)

RAFT_UNIT += tests/unit/test_raft_memory
tests_unit_test_raft_memory_SOURCES = tests/unit/test_raft_memory.c $(RAFT_STORAGE)
tests_unit_test_raft_memory_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raft_memory_LDADD = libraft.a libbase.a $(CMOCKA_LIBS)

RAFT_UNIT += tests/unit/test_raft_core
tests_unit_test_raft_core_SOURCES = tests/unit/test_raft_core.c $(RAFT_STORAGE)
tests_unit_test_raft_core_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raft_core_LDADD = libraft.a libbase.a $(CMOCKA_LIBS)

RAFT_UNIT += tests/unit/test_raft_config
tests_unit_test_raft_config_SOURCES = tests/unit/test_raft_config.c $(RAFT_STORAGE)
tests_unit_test_raft_config_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raft_config_LDADD = libraft.a libbase.a $(CMOCKA_LIBS)

RAFT_UNIT += tests/unit/test_raft_progress
tests_unit_test_raft_progress_SOURCES = tests/unit/test_raft_progress.c $(RAFT_STORAGE)
tests_unit_test_raft_progress_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raft_progress_LDADD = libraft.a libbase.a $(CMOCKA_LIBS)

RAFT_UNIT += tests/unit/test_raft_log
tests_unit_test_raft_log_SOURCES = tests/unit/test_raft_log.c $(RAFT_STORAGE)
tests_unit_test_raft_log_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raft_log_LDADD = libraft.a libbase.a $(CMOCKA_LIBS)

RAFT_UNIT += tests/unit/test_raft_election
tests_unit_test_raft_election_SOURCES = tests/unit/test_raft_election.c $(RAFT_STORAGE)
tests_unit_test_raft_election_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raft_election_LDADD = libraft.a libbase.a $(CMOCKA_LIBS)

RAFT_UNIT += tests/unit/test_raft_garbage
tests_unit_test_raft_garbage_SOURCES = tests/unit/test_raft_garbage.c $(RAFT_STORAGE)
tests_unit_test_raft_garbage_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_raft_garbage_LDADD = libraft.a libbase.a $(CMOCKA_LIBS)

# Etcd's conversations, which stand outside of this tree, and our own.
RAFT_TALKS = tests/script/raft-conformance.sh tests/script/raft-scenarios.sh
dist_check_SCRIPTS += $(RAFT_TALKS)
TESTS += $(RAFT_TALKS)
EXTRA_DIST += \
	tests/script/raft/append_answer_after_term_change.txt \
	tests/script/raft/apply_in_pages.txt \
	tests/script/raft/apply_in_pages_sync.txt \
	tests/script/raft/change_not_applied.txt \
	tests/script/raft/change_pending.txt \
	tests/script/raft/change_unchecked.txt \
	tests/script/raft/commit_in_votes.txt \
	tests/script/raft/decisions.txt \
	tests/script/raft/demoted_leader.txt \
	tests/script/raft/disruptive_server.txt \
	tests/script/raft/disruptive_server_no_prevote.txt \
	tests/script/raft/entry_replaced_and_back.txt \
	tests/script/raft/figure_7.txt \
	tests/script/raft/figure_8.txt \
	tests/script/raft/figure_8_overwritten.txt \
	tests/script/raft/forget_leader.txt \
	tests/script/raft/forget_leader_lease.txt \
	tests/script/raft/hint_of_the_follower.txt \
	tests/script/raft/inflight_bytes.txt \
	tests/script/raft/joint_implicit.txt \
	tests/script/raft/joint_left_by_itself.txt \
	tests/script/raft/joint_left_by_next_leader.txt \
	tests/script/raft/learner_votes.txt \
	tests/script/raft/no_forwarding.txt \
	tests/script/raft/one_voter_async.txt \
	tests/script/raft/paper_5_1_terms.txt \
	tests/script/raft/paper_5_2_elections.txt \
	tests/script/raft/paper_5_3_replication.txt \
	tests/script/raft/paper_5_4_1_restriction.txt \
	tests/script/raft/prevote_of_an_earlier_term.txt \
	tests/script/raft/read_index.txt \
	tests/script/raft/read_index_joint.txt \
	tests/script/raft/read_index_leader_change.txt \
	tests/script/raft/read_index_lease.txt \
	tests/script/raft/read_index_one_voter.txt \
	tests/script/raft/removed_leader.txt \
	tests/script/raft/removed_leader_stays.txt \
	tests/script/raft/removing_commits.txt \
	tests/script/raft/required_ids.txt \
	tests/script/raft/restart.txt \
	tests/script/raft/snapshot_async.txt \
	tests/script/raft/snapshot_inactive.txt \
	tests/script/raft/snapshot_lost.txt \
	tests/script/raft/snapshot_of_no_use.txt \
	tests/script/raft/snapshot_while_joint.txt \
	tests/script/raft/transfer.txt \
	tests/script/raft/transfer_catches_up.txt \
	tests/script/raft/two_snapshots.txt \
	tests/script/raft/uncommitted_limit.txt \
	tests/script/raft/unreachable.txt \
	tests/script/raft/vote_request_too_early.txt \
	tests/script/raft/vote_request_waits.txt

EXTRA_PROGRAMS += tests/bench/bench_raft
tests_bench_bench_raft_SOURCES = tests/bench/bench_raft.c $(RAFT_STORAGE)
tests_bench_bench_raft_LDADD = libraft.a libbase.a

# What the core itself costs.
.PHONY: bench-raft
bench-raft: tests/bench/bench_raft
	tests/bench/bench_raft

# The core's tests alone, and what they reach of it: all of it, or the target fails. Counted in a
# build folder of its own, without optimisation, which would merge branches.
.PHONY: check-raft cover-raft
check-raft: tests/script/raft-script$(EXEEXT) $(RAFT_UNIT)
	@$(MAKE) check-TESTS TESTS='$(RAFT_UNIT) $(RAFT_TALKS)' check_PROGRAMS= check_SCRIPTS=
cover-raft:
	@test ! -d cover-raft || find cover-raft -name '*.gcda' -delete
	@$(SHELL) $(srcdir)/contrib/variant cover-raft --enable-coverage CFLAGS='$(COVER_CFLAGS)' \
	  CC='$(CC)' -- check-raft
	@$(srcdir)/contrib/cover cover-raft cluster/raft
