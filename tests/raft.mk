# Tests of cluster/raft.
