# libwal.a: the write-ahead log.
EXTRA_DIST += wal/disk.h wal/wal.h wal/dump.h
