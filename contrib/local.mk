# Setting up (run, check), and the checks on the house itself.
EXTRA_DIST += contrib/check contrib/cover contrib/fleet contrib/format contrib/lib.sh contrib/run \
	contrib/tidy contrib/variant
dist_check_SCRIPTS += contrib/test_tidy.sh contrib/test_house.sh
TESTS += contrib/test_tidy.sh contrib/test_house.sh

# Suppressions are read by programs built with --enable-tsan alone.
EXTRA_DIST += contrib/tsan.supp
AM_TESTS_ENVIRONMENT += \
	TSAN_OPTIONS="suppressions=$(abs_top_srcdir)/contrib/tsan.supp $$TSAN_OPTIONS"; \
	export TSAN_OPTIONS;

.PHONY: tidy format check-asan check-ubsan check-tsan cover fuzz
tidy:
	@$(SHELL) $(srcdir)/contrib/tidy $(srcdir)
format:
	@$(SHELL) $(srcdir)/contrib/format

# Each builds in a folder of its own beside this build.
check-asan:
	@$(SHELL) $(srcdir)/contrib/variant asan --enable-asan --enable-debug CC='$(CC)' -- check
check-ubsan:
	@$(SHELL) $(srcdir)/contrib/variant ubsan --enable-ubsan --enable-debug CC='$(CC)' -- check
check-tsan:
	@$(SHELL) $(srcdir)/contrib/variant tsan --enable-tsan CC='$(CC)' -- check
# Without optimisation, which merges branches; of this run alone, not of an earlier one too.
COVER_CFLAGS = -g -O0
cover:
	@test ! -d cover || find cover -name '*.gcda' -delete
	@$(SHELL) $(srcdir)/contrib/variant cover --enable-coverage CFLAGS='$(COVER_CFLAGS)' \
	  CC='$(CC)' -- -i check
	@$(srcdir)/contrib/cover cover $(FOLDER)

# make fuzz TARGET=record [FUZZ_SECONDS=60]
FUZZ_SECONDS = 60
FUZZ_CC = clang
fuzz:
	@test -f '$(srcdir)/tests/fuzz/fuzz_$(TARGET).c' || \
	{ echo 'usage: make fuzz TARGET=NAME; NAME is one of:'; \
	  ls $(srcdir)/tests/fuzz | sed -n 's/^fuzz_\(.*\)\.c$$/  \1/p'; exit 1; }
	@$(SHELL) $(srcdir)/contrib/variant fuzz --enable-fuzz --enable-asan --enable-ubsan \
	  CC='$(FUZZ_CC)' -- tests/fuzz/fuzz_$(TARGET)
	@mkdir -p fuzz/corpus/$(TARGET)
	fuzz/tests/fuzz/fuzz_$(TARGET) -max_total_time=$(FUZZ_SECONDS) -max_len=65536 \
	  -artifact_prefix=fuzz/ fuzz/corpus/$(TARGET) \
	  `ls -d $(srcdir)/tests/fuzz/corpus/$(TARGET) 2>/dev/null`

clean-local:
	rm -rf asan ubsan tsan cover cover-raft mutants fuzz variant-source

completiondir = $(datarootdir)/bash-completion/completions
dist_completion_DATA = contrib/completion/concordfs
