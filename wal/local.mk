# libwal.a: the write-ahead log.
noinst_LIBRARIES += libwal.a

libwal_a_SOURCES = \
	wal/disk.h wal/disk_posix.c \
	wal/dump.c wal/dump.h \
	wal/flush.c \
	wal/folder.c wal/folder.h \
	wal/open.c \
	wal/prepare.c \
	wal/reader.c wal/reader.h \
	wal/record.c wal/record.h \
	wal/recover.c wal/recover.h \
	wal/replay.c wal/replay.h \
	wal/seal.c wal/seal.h \
	wal/wal.c wal/wal.h wal/wal_internal.h
EXTRA_DIST += wal/FORMAT wal/README.md
