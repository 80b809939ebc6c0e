# Tests of cluster.
