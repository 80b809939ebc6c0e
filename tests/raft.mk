# Tests of cluster/raft.
RAFT_SCRIPT_SOURCES = \
	tests/script/script.c tests/script/script.h \
	tests/script/raft_env.c tests/script/raft_env.h \
	tests/script/raft_storage.c tests/script/raft_storage.h \
	tests/script/raft_vectors.c tests/script/raft_vectors.h

check_PROGRAMS += tests/script/raft-script
tests_script_raft_script_SOURCES = tests/script/raft-script.c $(RAFT_SCRIPT_SOURCES)
tests_script_raft_script_LDADD = libraft.a libbase.a

# Etcd's conversations, which stand outside of this tree, and our own.
dist_check_SCRIPTS += tests/script/raft-conformance.sh tests/script/raft-scenarios.sh
TESTS += tests/script/raft-conformance.sh tests/script/raft-scenarios.sh
EXTRA_DIST += \
	tests/script/raft/one_voter_async.txt
