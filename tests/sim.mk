# The simulator: whole clusters in one thread. It links the program's own libraries; what stands in
# tests/sim defines nothing of theirs (contrib/tidy looks).
SIM_SOURCES = \
	tests/sim/check_asks.c tests/sim/check_change.c tests/sim/check_emptied.c tests/sim/check_join.c tests/sim/check_count.c tests/sim/check_history.c tests/sim/check_leader.c \
	tests/sim/check_lease.c tests/sim/check_log.c tests/sim/check_state.c tests/sim/check_stop.c \
	tests/sim/check_vote.c tests/sim/check_watch.c \
	tests/sim/checks.c tests/sim/checks.h tests/sim/checks_internal.h \
	tests/sim/clients.c tests/sim/clients.h tests/sim/clients_internal.h tests/sim/watchers.c \
	tests/sim/faults.c tests/sim/faults_internal.h tests/sim/damage.c tests/sim/silent.c tests/sim/operator.c tests/sim/joiners.c \
	tests/sim/stops.c \
	tests/sim/mutants.c tests/sim/mutants.h \
	tests/sim/sim_folder.c tests/sim/sim_folder.h \
	tests/sim/sim_host.c tests/sim/sim_host.h tests/sim/sim_join.c tests/sim/sim_join.h \
	tests/sim/sim_model.c tests/sim/sim_model.h \
	tests/sim/sim_params.c tests/sim/sim_params.h \
	tests/sim/sim_run.c tests/sim/sim_run.h \
	tests/sim/sim_world.c tests/sim/sim_world.h

check_PROGRAMS += tests/sim/simulate
tests_sim_simulate_SOURCES = tests/sim/simulate.c tests/sim/sim_net.c tests/sim/sim_net_faults.c \
	tests/sim/sim_net.h tests/sim/sim_net_internal.h $(SIM_SOURCES)
tests_sim_simulate_LDADD = libsimdisk.a $(CLUSTER_LIBS) $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) \
	$(UV_LIBS) -lpthread

# make check runs a few seeds, always the same ones.
dist_check_SCRIPTS += tests/sim/seeds.sh
TESTS += tests/sim/seeds.sh
EXTRA_DIST += tests/sim/README.md tests/sim/soak

# make sim SEED=7 replays one; make sim SEEDS=1000 runs that many fresh ones. make soak HOURS=1 goes on where it
# was stopped, with the same program; a fresh start is after "rm soak.state".
SEEDS = 100
HOURS = 1
# make sim-leveldb SEEDS=20 keeps the stores in LevelDB, in a folder of its own that goes afterwards; LevelDB
# works on a thread of its own, so there a seed need not give the same run twice.
.PHONY: sim soak sim-twice sim-leveldb
sim: tests/sim/simulate
	tests/sim/simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(SIM_FLAGS)
sim-leveldb: tests/sim/simulate
	@folder=$$(mktemp -d tests/sim/leveldb-XXXXXX) || exit 1; status=0; \
	tests/sim/simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) --leveldb "$$folder" \
		$(SIM_FLAGS) || status=1; \
	rm -rf "$$folder"; exit $$status
sim-twice: tests/sim/simulate
	tests/sim/simulate --twice $(SEEDS)
# Each planted bug (proto/base/mutant.h) is switched on until a checker notices; built with VERIFY, and
# optimised, in a folder of its own.
.PHONY: sim-mutants
sim-mutants:
	@$(SHELL) $(srcdir)/contrib/variant mutants --enable-debug CFLAGS='-O2 -g' CC='$(CC)' -- \
	  tests/sim/simulate
	mutants/tests/sim/simulate --mutants $(MUTANTS) $(SIM_FLAGS)
soak: tests/sim/simulate
	@$(SHELL) $(srcdir)/tests/sim/soak tests/sim/simulate $$(($(HOURS) * 3600)) soak.state $(SIM_FLAGS)

# Whole members, a few at a time: how a cluster begins, and who joins it.
UNIT += tests/unit/test_forming
tests_unit_test_forming_SOURCES = tests/unit/test_forming.c tests/sim/sim_folder.c \
	tests/sim/sim_folder.h tests/sim/sim_host.c tests/sim/sim_host.h tests/sim/sim_join.c tests/sim/sim_join.h
tests_unit_test_forming_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_forming_LDADD = libsimnet.a libsimdisk.a $(CLUSTER_LDADD)

UNIT += tests/unit/test_sim_folder
tests_unit_test_sim_folder_SOURCES = tests/unit/test_sim_folder.c tests/sim/sim_folder.c \
	tests/sim/sim_folder.h
tests_unit_test_sim_folder_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_sim_folder_LDADD = $(CLUSTER_LDADD)
