# Tests of mvcc.
