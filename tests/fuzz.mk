# Fuzz targets: one per decoder, tests/fuzz/fuzz_NAME.c, with LLVMFuzzerTestOneInput. A part adds its
# own in its tests/<part>.mk or here:
#
#     FUZZ += tests/fuzz/fuzz_record
#     tests_fuzz_fuzz_record_SOURCES = tests/fuzz/fuzz_record.c $(FUZZ_MAIN)
#     tests_fuzz_fuzz_record_LDADD = libwal.a libbase.a
#     tests_fuzz_fuzz_record_LDFLAGS = $(FUZZ_LINK_FLAGS)
#
# Under --enable-fuzz (clang) it is a libFuzzer program: make fuzz TARGET=record. Otherwise FUZZ_MAIN
# gives it a main that "make check" runs: over the files in tests/fuzz/corpus/NAME/, over mutations
# of them, and over noise, from a fixed seed.
FUZZ =
EXTRA_DIST += tests/fuzz/corpus
if ENABLE_FUZZ
FUZZ_MAIN =
FUZZ_LINK_FLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_PROGRAMS += $(FUZZ)
EXTRA_DIST += tests/fuzz/replay.c
else
FUZZ_MAIN = tests/fuzz/replay.c
FUZZ_LINK_FLAGS = $(AM_LDFLAGS)
check_PROGRAMS += $(FUZZ)
TESTS += $(FUZZ)
endif

# The words of every part are decoded through these two.
FUZZ += tests/fuzz/fuzz_cursor
tests_fuzz_fuzz_cursor_SOURCES = tests/fuzz/fuzz_cursor.c $(FUZZ_MAIN)
tests_fuzz_fuzz_cursor_LDADD = libbase.a
tests_fuzz_fuzz_cursor_LDFLAGS = $(FUZZ_LINK_FLAGS)

# Requests of the log and the local socket; records of files.
FUZZ += tests/fuzz/fuzz_request
tests_fuzz_fuzz_request_SOURCES = tests/fuzz/fuzz_request.c $(FUZZ_MAIN)
tests_fuzz_fuzz_request_LDADD = libproto.a libbase.a $(PROTOBUF_C_LIBS)
tests_fuzz_fuzz_request_LDFLAGS = $(FUZZ_LINK_FLAGS)

FUZZ += tests/fuzz/fuzz_meta
tests_fuzz_fuzz_meta_SOURCES = tests/fuzz/fuzz_meta.c $(FUZZ_MAIN)
tests_fuzz_fuzz_meta_LDADD = libproto.a libbase.a
tests_fuzz_fuzz_meta_LDFLAGS = $(FUZZ_LINK_FLAGS)

# Rows of names and sessions.
FUZZ += tests/fuzz/fuzz_rows
tests_fuzz_fuzz_rows_SOURCES = tests/fuzz/fuzz_rows.c $(FUZZ_MAIN)
tests_fuzz_fuzz_rows_LDADD = libmvcc.a libproto.a libbase.a $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) -lpthread
tests_fuzz_fuzz_rows_LDFLAGS = $(FUZZ_LINK_FLAGS)

# The files of a store on its way to another member.
FUZZ += tests/fuzz/fuzz_manifest
tests_fuzz_fuzz_manifest_SOURCES = tests/fuzz/fuzz_manifest.c $(FUZZ_MAIN)
tests_fuzz_fuzz_manifest_LDADD = libmvcc.a libproto.a libbase.a $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) -lpthread
tests_fuzz_fuzz_manifest_LDFLAGS = $(FUZZ_LINK_FLAGS)

# Configurations and changes as the core writes them.
FUZZ += tests/fuzz/fuzz_conf
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c $(FUZZ_MAIN)
tests_fuzz_fuzz_conf_LDADD = libraft.a libbase.a
tests_fuzz_fuzz_conf_LDFLAGS = $(FUZZ_LINK_FLAGS)

# Records of the log, and what they add up to.
FUZZ += tests/fuzz/fuzz_record
tests_fuzz_fuzz_record_SOURCES = tests/fuzz/fuzz_record.c $(FUZZ_MAIN)
tests_fuzz_fuzz_record_LDADD = libwal.a libbase.a
tests_fuzz_fuzz_record_LDFLAGS = $(FUZZ_LINK_FLAGS)

# What members say to each other: headers, hellos, messages, and a stream cut anywhere.
FUZZ += tests/fuzz/fuzz_frame
tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c $(FUZZ_MAIN)
tests_fuzz_fuzz_frame_LDADD = libcluster.a libraft.a libbase.a
tests_fuzz_fuzz_frame_LDFLAGS = $(FUZZ_LINK_FLAGS)

# Who asks to join, what the leader is asked, and the texts that say who the members are.
FUZZ += tests/fuzz/fuzz_join
tests_fuzz_fuzz_join_SOURCES = tests/fuzz/fuzz_join.c $(FUZZ_MAIN)
tests_fuzz_fuzz_join_LDADD = libcluster.a libraft.a libbase.a
tests_fuzz_fuzz_join_LDFLAGS = $(FUZZ_LINK_FLAGS)
