/* The commands as a person meets them: words in, text and an exit status out, over the real socket with
 * a kv in memory behind it. */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/cmd.h"
#include "proto/base/limits.h"
#include "tests/unit/fake_member.h"

#define WORDS_MAX 12

/* What a command printed and returned. */
struct said {
    int status;
    char *out, *err;
};

static int setup(void **state)
{
    *state = fake_member_start();
    return 0;
}

static int teardown(void **state)
{
    fake_member_end(*state);
    return 0;
}

static char *read_back(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = mem_xzalloc((size_t)size + 1);
    assert_int_equal(pread(fd, text, (size_t)size, 0), size);
    close(fd);
    return text;
}

/* Puts a file without a name in the place of a descriptor; *ret_saved brings it back. */
static int redirect(int fd, int *ret_saved)
{
    int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    assert_true(file >= 0);
    *ret_saved = dup(fd);
    assert_int_equal(dup2(file, fd), fd);
    return file;
}

static void restore(int fd, int saved)
{
    assert_int_equal(dup2(saved, fd), fd);
    close(saved);
}

/* Runs a command with its words and --data FOLDER; input (may be NULL) is its standard input. */
static struct said run_with(struct fake_member *member, int (*run)(int, char **), struct bytes input,
                            char *const *words)
{
    static char data_option[] = "--data";
    struct said said;
    char *argv[WORDS_MAX + 4];
    int argc = 0, in_saved, out_saved, err_saved;
    argv[argc++] = words[0];
    if (member) {
        argv[argc++] = data_option;
        argv[argc++] = member->folder;
    }
    for (int i = 1; words[i]; i++)
        argv[argc++] = words[i];
    argv[argc] = NULL;
    fflush(NULL);
    int in = redirect(STDIN_FILENO, &in_saved);
    if (input.size)
        assert_int_equal(pwrite(in, input.data, input.size, 0), input.size);
    lseek(in, 0, SEEK_SET);
    int out = redirect(STDOUT_FILENO, &out_saved), err = redirect(STDERR_FILENO, &err_saved);
    said.status = run(argc, argv);
    fflush(NULL);
    restore(STDIN_FILENO, in_saved);
    restore(STDOUT_FILENO, out_saved);
    restore(STDERR_FILENO, err_saved);
    close(in);
    said.out = read_back(out);
    said.err = read_back(err);
    return said;
}

static void said_free(struct said *said)
{
    free(said->out);
    free(said->err);
}

/* The whole answer of a command, and its status. */
static void assert_says(struct fake_member *member, int (*run)(int, char **), int status,
                        const char *out, char *const *words)
{
    struct said said = run_with(member, run, BYTES_EMPTY, words);
    assert_string_equal(said.out, out);
    assert_int_equal(said.status, status);
    if (status == CMD_OK)
        assert_string_equal(said.err, "");
    else if (status != CMD_NOT_FOUND)
        assert_string_not_equal(said.err, "");
    said_free(&said);
}

#define WORDS(...) ((char *const[]){__VA_ARGS__, NULL})
#define SAYS(run, status, out, ...) assert_says(*state, run, status, out, WORDS(__VA_ARGS__))

static char *const no_words[] = {(char[]){"x"}, NULL};

/* Words of a command are not const by getopt's contract. */
#define W(text) ((char[]){text})

static void test_put_get_and_del(void **state)
{
    SAYS(cmd_put, CMD_OK, "OK\n", W("put"), W("/a"), W("1"));
    SAYS(cmd_get, CMD_OK, "/a\n1\n", W("get"), W("/a"));
    SAYS(cmd_get, CMD_OK, "1\n", W("get"), W("/a"), W("--print-value-only"));
    SAYS(cmd_get, CMD_OK, "/a\n", W("get"), W("--keys-only"), W("/a"));
    SAYS(cmd_put, CMD_OK, "OK\n/a\n1\n", W("put"), W("--prev-kv"), W("/a"), W("2"));
    SAYS(cmd_del, CMD_OK, "1\n/a\n2\n", W("del"), W("--prev-kv"), W("/a"));
    SAYS(cmd_get, CMD_NOT_FOUND, "", W("get"), W("/a"));
    SAYS(cmd_del, CMD_NOT_FOUND, "0\n", W("del"), W("/a"));
}

static void test_ranges(void **state)
{
    SAYS(cmd_put, CMD_OK, "OK\n", W("put"), W("/a/1"), W("x"));
    SAYS(cmd_put, CMD_OK, "OK\n", W("put"), W("/a/2"), W("y"));
    SAYS(cmd_put, CMD_OK, "OK\n", W("put"), W("/b"), W("z"));
    SAYS(cmd_get, CMD_OK, "/a/1\nx\n/a/2\ny\n", W("get"), W("--prefix"), W("/a/"));
    SAYS(cmd_get, CMD_OK, "/a/1\n/a/2\n/b\n", W("get"), W("--prefix"), W(""), W("--keys-only"));
    SAYS(cmd_get, CMD_OK, "/a/2\n/b\n", W("get"), W("--from-key"), W("/a/2"), W("--keys-only"));
    SAYS(cmd_get, CMD_OK, "/a/1\n", W("get"), W("/a/"), W("/a/2"), W("--keys-only"));
    SAYS(cmd_get, CMD_OK, "/a/1\n", W("get"), W("--prefix"), W("/"), W("--limit"), W("1"),
         W("--keys-only"));
    SAYS(cmd_get, CMD_OK, "3\n", W("get"), W("--prefix"), W("/"), W("--count-only"));
    SAYS(cmd_get, CMD_OK, "0\n", W("get"), W("/none"), W("--count-only"));
    SAYS(cmd_del, CMD_OK, "2\n", W("del"), W("--prefix"), W("/a/"));
    SAYS(cmd_del, CMD_OK, "1\n", W("del"), W("--prefix"), W(""));
}

#define HEADER(revision) "\"header\":{\"cluster_id\":11,\"member_id\":22,\"revision\":" revision \
    ",\"raft_term\":3}"

static void test_json_is_that_of_etcd(void **state)
{
    SAYS(cmd_put, CMD_OK, "{" HEADER("2") "}\n", W("put"), W("-w"), W("json"), W("/a"), W("x"));
    SAYS(cmd_put, CMD_OK,
         "{" HEADER("3") ",\"prev_kv\":{\"key\":\"L2E=\",\"create_revision\":2,\"mod_revision\":2,"
         "\"version\":1,\"value\":\"eA==\"}}\n",
         W("put"), W("-w"), W("json"), W("--prev-kv"), W("/a"), W("xyz"));
    SAYS(cmd_get, CMD_OK,
         "{" HEADER("3") ",\"kvs\":[{\"key\":\"L2E=\",\"create_revision\":2,\"mod_revision\":3,"
         "\"version\":2,\"value\":\"eHl6\"}],\"count\":1}\n",
         W("get"), W("-w"), W("json"), W("/a"));
    SAYS(cmd_put, CMD_OK, "OK\n", W("put"), W("/b"), W(""));
    SAYS(cmd_get, CMD_OK,
         "{" HEADER("4") ",\"kvs\":[{\"key\":\"L2E=\",\"create_revision\":2,\"mod_revision\":3,"
         "\"version\":2}],\"more\":true,\"count\":2}\n",
         W("get"), W("--write-out=json"), W("--prefix"), W("/"), W("--limit=1"), W("--keys-only"));
    SAYS(cmd_get, CMD_NOT_FOUND, "{" HEADER("4") "}\n", W("get"), W("-wjson"), W("/none"));
    SAYS(cmd_del, CMD_OK,
         "{" HEADER("5") ",\"deleted\":1,\"prev_kvs\":[{\"key\":\"L2E=\",\"create_revision\":2,"
         "\"mod_revision\":3,\"version\":2,\"value\":\"eHl6\"}]}\n",
         W("del"), W("-wjson"), W("--prev-kv"), W("/a"));
}

static void test_a_value_comes_from_standard_input(void **state)
{
    struct fake_member *member = *state;
    struct bytes input = BYTES_LITERAL("one\0two\n");
    struct said said = run_with(member, cmd_put, input, WORDS(W("put"), W("/in")));
    assert_int_equal(said.status, CMD_OK);
    said_free(&said);
    assert_bytes_equal(buf_bytes(&member->items[0].value), input);
    said = run_with(member, cmd_put, BYTES_LITERAL("again"), WORDS(W("put"), W("/in"), W("-")));
    assert_int_equal(said.status, CMD_OK);
    said_free(&said);
    assert_bytes_equal(buf_bytes(&member->items[0].value), BYTES_LITERAL("again"));
    SAYS(cmd_put, CMD_OK, "OK\n", W("put"), W("--"), W("/in"), W("-5"));
    assert_bytes_equal(buf_bytes(&member->items[0].value), BYTES_LITERAL("-5"));
}

static void test_input_that_is_too_long_is_refused_before_it_is_sent(void **state)
{
    struct buf input = {0};
    memset(buf_extend(&input, REQUEST_SIZE_MAX + 1), 'x', REQUEST_SIZE_MAX + 1);
    struct said said = run_with(*state, cmd_put, buf_bytes(&input), WORDS(W("put"), W("/in")));
    assert_int_equal(said.status, CMD_FAILED);
    assert_non_null(strstr(said.err, "longer than"));
    said_free(&said);
    buf_release(&input);
}

static void test_a_range_of_many_pieces_is_printed_once_and_in_order(void **state)
{
    struct buf expected = {0};
    char key[16];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "/n/%03d", i);
        SAYS(cmd_put, CMD_OK, "OK\n", W("put"), key, W("v"));
        buf_append_format(&expected, "%s\nv\n", key);
    }
    buf_append_u8(&expected, 0);
    SAYS(cmd_get, CMD_OK, (char *)expected.data, W("get"), W("--prefix"), W("/n/"));
    buf_release(&expected);
}

/* ---- ls ---- */

static void test_ls_shows_names_like_a_directory(void **state)
{
    static const char *const keys[] = {
        "/app/port", "/app/db/host", "/app/db/user", "/app.conf", "/zoo", "plain",
        ".concordfs/meta//app/port", ".concordfs/meta//app/fifo", ".concordfs/dir//app/empty",
        ".concordfs/dir//app", ".concordfs/dir//hollow"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        SAYS(cmd_put, CMD_OK, "OK\n", W("put"), (char *)(uintptr_t)keys[i], W("1"));
    SAYS(cmd_ls, CMD_OK, "app/\napp.conf\nhollow/\nzoo\n", W("ls"));
    SAYS(cmd_ls, CMD_OK, "db/\nempty/\nfifo\nport\n", W("ls"), W("/app"));
    SAYS(cmd_ls, CMD_OK, "host\nuser\n", W("ls"), W("/app/db/"));
    SAYS(cmd_ls, CMD_OK, "/app/port\n", W("ls"), W("/app/port"));
    SAYS(cmd_ls, CMD_OK, "", W("ls"), W("/hollow"));
    SAYS(cmd_ls, CMD_OK, "/\nplain\n", W("ls"), W(""));
    SAYS(cmd_ls, CMD_NOT_FOUND, "", W("ls"), W("/none"));
    SAYS(cmd_ls, CMD_NOT_FOUND, "", W("ls"), W("/ap"));
    SAYS(cmd_ls, CMD_OK,
         "         -          - -                        app/\n"
         "         5          1 - app.conf\n"
         "         -          - -                        hollow/\n"
         "         6          1 - zoo\n",
         W("ls"), W("-l"), W("/"), W("--rev"), W("0"));
}

static void test_ls_asks_for_what_it_lists_and_not_for_what_lies_below(void **state)
{
    struct fake_member *member = *state;
    struct buf expected = {0};
    char key[32];
    for (int folder = 0; folder < 10; folder++)
        for (int i = 0; i < 100; i++) {
            snprintf(key, sizeof(key), "/%d/%03d", folder, i);
            SAYS(cmd_put, CMD_OK, "OK\n", W("put"), key, W("v"));
        }
    for (int folder = 0; folder < 10; folder++)
        buf_append_format(&expected, "%d/\n", folder);
    buf_append_u8(&expected, 0);
    int before = atomic_load(&member->ranges);
    SAYS(cmd_ls, CMD_OK, (char *)expected.data, W("ls"));
    assert_true(atomic_load(&member->ranges) - before <= 10 + 3);
    buf_release(&expected);
}

/* ---- the others ---- */

static void test_status_is_the_screen(void **state)
{
    struct fake_member *member = *state;
    struct said said = run_with(NULL, cmd_status, BYTES_EMPTY, WORDS(W("status"), member->folder));
    char *line = mem_xformat("\ndata: %s\n", member->folder);
    assert_int_equal(said.status, CMD_OK);
    assert_non_null(strstr(said.out, line));
    assert_non_null(strstr(said.out, "\nrevision: 1\n"));
    free(line);
    said_free(&said);
}

static void test_compact(void **state)
{
    SAYS(cmd_compact, CMD_OK, "compacted revision 1\n", W("compact"), W("1"));
    SAYS(cmd_compact, CMD_FAILED, "", W("compact"), W("9"));
    SAYS(cmd_compact, CMD_USAGE, "", W("compact"), W("0"));
    SAYS(cmd_compact, CMD_USAGE, "", W("compact"), W("1x"));
    SAYS(cmd_compact, CMD_USAGE, "", W("compact"));
}

/* The folder's lock is a member's last: stop waits for it. */
static void test_stop_waits_for_the_lock(void **state)
{
    struct fake_member *member = *state;
    char *path = mem_xformat("%s/lock", member->folder);
    int ends[2], lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char byte = 'x';
    assert_true(lock >= 0 && flock(lock, LOCK_EX) == 0 && pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {                   /* holds the lock a while after the socket is gone */
        close(ends[0]);
        while (access(path, F_OK) == 0 && !atomic_load(&member->stops) && getppid() != 1) {
            char *sock = mem_xformat("%s/sock", member->folder);
            bool is_gone = access(sock, F_OK) != 0;
            free(sock);
            if (is_gone)
                break;
            usleep(1000);
        }
        usleep(50000);
        if (write(ends[1], &byte, 1) != 1)
            _exit(1);
        _exit(0);
    }
    close(lock);                        /* the child's copy keeps it */
    close(ends[1]);
    SAYS(cmd_stop, CMD_OK, "", W("stop"));
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);       /* said before the lock was given up */
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(atomic_load(&member->stops), 1);
    close(ends[0]);
    free(path);
}

static void test_a_failure_is_a_sentence_and_a_status(void **state)
{
    struct fake_member *member = *state;
    atomic_store(&member->fail_with, ERR_TIMEOUT);
    struct said said = run_with(member, cmd_put, BYTES_EMPTY, WORDS(W("put"), W("/a"), W("1")));
    assert_int_equal(said.status, CMD_FAILED);
    assert_string_equal(said.err, "concordfs put: as the test wants it (it may have happened)\n");
    said_free(&said);
    atomic_store(&member->fail_with, ERR_NO_SPACE);
    said = run_with(member, cmd_put, BYTES_EMPTY, WORDS(W("put"), W("/a"), W("1")));
    assert_int_equal(said.status, CMD_FAILED);
    assert_string_equal(said.err, "concordfs put: as the test wants it\n");
    said_free(&said);
}

static void test_wrong_words_are_usage_and_nothing_is_asked(void **state)
{
    struct fake_member *member = *state;
    SAYS(cmd_get, CMD_USAGE, "", W("get"));
    SAYS(cmd_get, CMD_USAGE, "", W("get"), W("a"), W("b"), W("c"));
    SAYS(cmd_get, CMD_USAGE, "", W("get"), W("--nope"), W("a"));
    SAYS(cmd_get, CMD_USAGE, "", W("get"), W("a"), W("--rev"));
    SAYS(cmd_get, CMD_USAGE, "", W("get"), W("a"), W("--rev=x"));
    SAYS(cmd_get, CMD_USAGE, "", W("get"), W("a"), W("--limit=-1"));
    SAYS(cmd_get, CMD_USAGE, "", W("get"), W("a"), W("-w"), W("xml"));
    SAYS(cmd_get, CMD_USAGE, "", W("get"), W("--prefix"), W("a"), W("b"));
    SAYS(cmd_get, CMD_USAGE, "", W("get"), W("--prefix"), W("--from-key"), W("a"));
    SAYS(cmd_get, CMD_USAGE, "", W("get"), W("--keys-only"), W("--print-value-only"), W("a"));
    SAYS(cmd_put, CMD_USAGE, "", W("put"));
    SAYS(cmd_put, CMD_USAGE, "", W("put"), W("a"), W("b"), W("c"));
    SAYS(cmd_put, CMD_USAGE, "", W("put"), W("a"), W("-5"));
    SAYS(cmd_del, CMD_USAGE, "", W("del"));
    SAYS(cmd_del, CMD_USAGE, "", W("del"), W("--rev"), W("1"), W("a"));
    SAYS(cmd_ls, CMD_USAGE, "", W("ls"), W("a"), W("b"));
    SAYS(cmd_ls, CMD_USAGE, "", W("ls"), W("--rev=z"));
    SAYS(cmd_status, CMD_USAGE, "", W("status"), W("a"));
    SAYS(cmd_stop, CMD_USAGE, "", W("stop"), W("a"), W("b"));
    assert_says(NULL, cmd_wal, CMD_USAGE, "", WORDS(W("wal")));
    assert_says(NULL, cmd_wal, CMD_USAGE, "", WORDS(W("wal"), W("eat")));
    assert_says(NULL, cmd_wal, CMD_USAGE, "", WORDS(W("wal"), W("dump"), W("a"), W("b")));
    assert_int_equal(atomic_load(&member->ranges), 0);
    assert_int_equal(member->revision, 1);
}

static void test_no_member_is_a_sentence(void **state)
{
    char *folder = test_folder_new();
    struct said said = run_with(NULL, cmd_get, BYTES_EMPTY,
                                WORDS(W("get"), W("--data"), folder, W("/a")));
    (void)state;
    assert_int_equal(said.status, CMD_FAILED);
    assert_non_null(strstr(said.err, "no member runs on"));
    said_free(&said);
    assert_says(NULL, cmd_wal, CMD_NOT_FOUND, "", WORDS(W("wal"), W("dump"), folder));
    test_folder_remove(folder);
}

/* ---- the table ---- */

static const struct command table[] = {
#define ROW(name, function, arguments, help) {name, arguments, help, function},
    CLUSTER_COMMANDS(ROW)
#undef ROW
    {NULL, NULL, NULL, NULL},
};

static int run_table(int argc, char **argv) { return cmd_run(table, argc, argv); }

static void test_every_command_has_help_with_an_example(void **state)
{
    (void)state;
    for (const struct command *row = table; row->name; row++) {
        struct said said = run_with(NULL, run_table, BYTES_EMPTY,
                                    WORDS((char *)(uintptr_t)row->name, W("--help")));
        char *start = mem_xformat("usage: concordfs %s", row->name);
        char *example = mem_xformat("\n  concordfs %s", row->name);
        assert_int_equal(said.status, CMD_OK);
        assert_int_equal(strncmp(said.out, start, strlen(start)), 0);
        assert_non_null(strstr(said.out, example));
        assert_non_null(strstr(said.out, "\nExit status: 0 "));
        assert_string_equal(said.err, "");
        free(start);
        free(example);
        said_free(&said);
    }
}

static int list_table(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    cmd_list(table);
    return CMD_OK;
}

static void test_the_table_is_listed_and_an_unknown_word_refused(void **state)
{
    struct said said = run_with(NULL, list_table, BYTES_EMPTY, no_words);
    (void)state;
    assert_non_null(strstr(said.out, "  get KEY [END]               print keys and their values\n"));
    said_free(&said);
    assert_says(NULL, run_table, CMD_USAGE, "", WORDS(W("gett")));
}

static void test_an_answer_that_cannot_be_written_is_a_failure(void **state)
{
    struct fake_member *member = *state;
    char *argv[] = {W("status"), member->folder, NULL};
    int saved = dup(STDOUT_FILENO), full = open("/dev/full", O_WRONLY), err_saved;
    assert_true(full >= 0);
    fflush(NULL);
    int err = redirect(STDERR_FILENO, &err_saved);
    assert_int_equal(dup2(full, STDOUT_FILENO), STDOUT_FILENO);
    int status = cmd_status(2, argv);
    restore(STDOUT_FILENO, saved);
    restore(STDERR_FILENO, err_saved);
    clearerr(stdout);
    close(full);
    assert_int_equal(status, CMD_FAILED);
    char *text = read_back(err);
    assert_non_null(strstr(text, "cannot write"));
    free(text);
}

int main(void)
{
#define WITH_MEMBER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_MEMBER(test_put_get_and_del),
        WITH_MEMBER(test_ranges),
        WITH_MEMBER(test_json_is_that_of_etcd),
        WITH_MEMBER(test_a_value_comes_from_standard_input),
        WITH_MEMBER(test_input_that_is_too_long_is_refused_before_it_is_sent),
        WITH_MEMBER(test_a_range_of_many_pieces_is_printed_once_and_in_order),
        WITH_MEMBER(test_ls_shows_names_like_a_directory),
        WITH_MEMBER(test_ls_asks_for_what_it_lists_and_not_for_what_lies_below),
        WITH_MEMBER(test_status_is_the_screen),
        WITH_MEMBER(test_compact),
        WITH_MEMBER(test_stop_waits_for_the_lock),
        WITH_MEMBER(test_a_failure_is_a_sentence_and_a_status),
        WITH_MEMBER(test_wrong_words_are_usage_and_nothing_is_asked),
        cmocka_unit_test(test_no_member_is_a_sentence),
        cmocka_unit_test(test_every_command_has_help_with_an_example),
        cmocka_unit_test(test_the_table_is_listed_and_an_unknown_word_refused),
        WITH_MEMBER(test_an_answer_that_cannot_be_written_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
