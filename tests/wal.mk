# Tests of wal.
