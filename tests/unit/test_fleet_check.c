/* The judge of histories that were recorded through mounts accepts what can be explained, and finds what
 * cannot: each planted history differs from a good one by what is named. */
#include "tests/test.h"

#include "proto/base/mem.h"
#include "proto/base/rand.h"
#include "tests/fleet/check.h"

static struct verdict verdict;

static uint64_t judge(const char *text)
{
    struct history history = {0};
    struct err err;
    buf_release(&verdict.text);
    if (history_read(&history, bytes_of(text, strlen(text)), &err) != ERR_OK ||
        history_finish(&history, &err) != ERR_OK)
        fail_msg("%s", err.text);
    check_history(&history, &verdict);
    history_release(&history);
    assert_int_equal(verdict.undecided, 0);
    return verdict.violations;
}

static bool says(const char *what)
{
    struct buf *text = &verdict.text;
    buf_append_u8(text, 0);
    text->size--;
    return strstr((const char *)text->data, what) != NULL;
}

static int tear_down(void **state)
{
    (void)state;
    buf_release(&verdict.text);
    verdict = (struct verdict){0};
    return 0;
}

/* ---- a search for an order ---- */

static void test_good(void **state)
{
    (void)state;
    assert_int_equal(judge(""), 0);
    assert_int_equal(judge("a ? 1 read x\na ! 2 ok -\n"
                           "a ? 3 save x 1\na ! 4 ok\n"
                           "b ? 5 read x\nb ! 6 ok 1\n"
                           "b ? 7 append x 2\nb ! 8 ok\n"
                           "a ? 9 read x\na ! 10 ok 1+2\n"
                           "a ? 11 rename x y\na ! 12 ok\n"
                           "b ? 13 read x\nb ! 14 ok -\n"
                           "b ? 15 rename x y\nb ! 16 ENOENT\n"
                           "b ? 17 create y\nb ! 18 EEXIST\n"
                           "b ? 19 create x\nb ! 20 ok\n"
                           "a ? 21 read x\na ! 22 ok .\n"
                           "b ? 23 fill x 3\nb ! 24 ok\n"
                           "a ? 25 read x\na ! 26 ok 3\n"), 0);
    assert_int_equal(verdict.groups, 1);
    assert_int_equal(verdict.counts[OPERATION_READ][OUTCOME_OK], 6);
    assert_int_equal(verdict.counts[OPERATION_RENAME][OUTCOME_TOLD], 1);
}

/* While a save lasts both contents may be seen, the old one only before the new one. */
static void test_concurrent(void **state)
{
    (void)state;
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\na ? 10 save x 2\na ! 20 ok\n"
                           "b ? 11 read x\nb ! 12 ok 1\nb ? 13 read x\nb ! 14 ok 2\n"), 0);
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\na ? 10 save x 2\na ! 20 ok\n"
                           "b ? 11 read x\nb ! 12 ok 2\nb ? 13 read x\nb ! 14 ok 1\n"), 1);
    assert_true(says("no order explains"));
    /* By another reader, too. */
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\na ? 10 save x 2\na ! 20 ok\n"
                           "b ? 11 read x\nb ! 12 ok 2\nc ? 13 read x\nc ! 14 ok 1\n"), 1);
}

static void test_stale_read(void **state)
{
    (void)state;
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\na ? 3 save x 2\na ! 4 ok\n"
                           "b ? 5 read x\nb ! 6 ok 1\n"), 1);
    assert_true(says("b read x"));
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\nb ? 5 read x\nb ! 6 ok -\n"), 1);
    assert_int_equal(judge("a ? 1 create x\na ! 2 ok\nb ? 5 read x\nb ! 6 ok -\n"), 1);
}

static void test_lost_update(void **state)
{
    (void)state;
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\n"
                           "a ? 3 append x 2\na ! 9 ok\nb ? 4 append x 3\nb ! 8 ok\n"
                           "c ? 10 read x\nc ! 11 ok 1+3+2\n"), 0);
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\n"
                           "a ? 3 append x 2\na ! 9 ok\nb ? 4 append x 3\nb ! 8 ok\n"
                           "c ? 10 read x\nc ! 11 ok 1+3\n"), 1);
    /* Twice is as wrong as never. */
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\na ? 3 append x 2\na ! 9 ok\n"
                           "c ? 10 read x\nc ! 11 ok 1+2+2\n"), 1);
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\nc ? 10 read x\nc ! 11 ok 7\n"), 1);
}

static void test_exclusive(void **state)
{
    (void)state;
    assert_int_equal(judge("a ? 1 create x\na ! 9 ok\nb ? 2 create x\nb ! 8 EEXIST\n"), 0);
    assert_int_equal(judge("a ? 1 create x\na ! 9 ok\nb ? 2 create x\nb ! 8 ok\n"), 1);
    assert_int_equal(judge("a ? 1 create x\na ! 9 ok\nb ? 2 create x\nb ! 8 ok\n"
                           "c ? 1 rename x y\nc ! 9 ok\n"), 0);
    assert_int_equal(judge("a ? 1 create x\na ! 2 EEXIST\n"), 1);
    /* One that failed may have won. */
    assert_int_equal(judge("a ? 1 create x\na ! 2 unknown:EIO\nb ? 5 create x\nb ! 6 EEXIST\n"), 0);
    assert_int_equal(judge("a ? 1 create x\na ! 2 none:EROFS\nb ? 5 create x\nb ! 6 EEXIST\n"), 1);
}

static void test_unknown(void **state)
{
    (void)state;
    const char *start = "a ? 1 save x 1\na ! 2 ok\na ? 3 save x 2\na ! 4 unknown:EIO\n";
    const char *ends[] = {
        "b ? 5 read x\nb ! 6 ok 1\nb ? 7 read x\nb ! 8 ok 1\n",     /* never */
        "b ? 5 read x\nb ! 6 ok 2\n",                               /* at once */
        "b ? 5 read x\nb ! 6 ok 1\nb ? 7 read x\nb ! 8 ok 2\n",     /* later */
        "b ? 5 read x\nb ! 6 ok .\nb ? 7 read x\nb ! 8 ok 2\n",     /* emptied before */
        "b ? 5 read x\nb ! 6 ok 2\nb ? 7 read x\nb ! 8 ok 1\n",     /* but not undone */
        "b ? 5 save x 3\nb ! 6 ok\nb ? 7 read x\nb ! 8 ok 2\nb ? 9 read x\nb ! 10 ok 3\n",
        "b ? 5 read x\nb ! 6 ok 2\nb ? 7 save x 3\nb ! 8 ok\nb ? 9 read x\nb ! 10 ok 2\n",  /* nor twice */
    };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *text = mem_xformat("%s%s", start, ends[i]);
        assert_int_equal(judge(text), i >= 4);
        free(text);
    }
    /* Without an answer: the client was killed. */
    assert_int_equal(judge("a ? 1 save x 1\nb ? 5 read x\nb ! 6 ok 1\n"), 0);
    /* Not before it was asked for. */
    assert_int_equal(judge("b ? 1 read x\nb ! 2 ok 1\na ? 5 save x 1\n"), 1);
}

/* After five seconds an open with O_TRUNC is taken for all there is. */
static void test_emptied(void **state)
{
    (void)state;
    for (int is_long = 0; is_long < 2; is_long++) {
        char *text = mem_xformat("a ? 0 save x 1\na ! 1 ok\na ? 2 save x 2\n"
                                 "b ? 3 read x\nb ! 4 ok .\nb ? 5 read x\nb ! 6 ok 2\na ! %lld ok\n",
                                 is_long ? (long long)EMPTIED_AFTER_NS + 2 : 7LL);
        assert_int_equal(judge(text), !is_long);
        free(text);
    }
}

/* What was written into a file that lost its name meanwhile is nowhere; otherwise it must be somewhere. */
static void test_file_without_name(void **state)
{
    (void)state;
    const char *start = "a ? 1 save x 1\na ! 2 ok\na ? 3 save y 2\na ! 4 ok\n";
    const struct { const char *end; uint64_t violations; } cases[] = {
        {"a ? 5 append y 3\nb ? 6 rename x y\nb ! 7 ok\na ! 8 ok\nc ? 9 read y\nc ! 10 ok 1\n", 0},
        {"a ? 5 append y 3\nb ? 6 rename x y\nb ! 7 ok\na ! 8 ok\nc ? 9 read y\nc ! 10 ok 1+3\n", 0},
        {"a ? 5 append x 3\nb ? 6 rename x y\nb ! 7 ok\na ! 8 ok\nc ? 9 read y\nc ! 10 ok 1+3\n", 0},
        {"a ? 5 append x 3\nb ? 6 rename x y\nb ! 7 ok\na ! 8 ok\nc ? 9 read x\nc ! 10 ok -\n", 0},
        /* The rename was over when the append was asked for. */
        {"b ? 5 rename x y\nb ! 6 ok\na ? 7 append y 3\na ! 8 ok\nc ? 9 read y\nc ! 10 ok 1\n", 1},
        /* It came after. */
        {"a ? 5 append y 3\na ! 6 ok\nb ? 5 read y\nb ! 7 ok 2\nb ? 8 read y\nb ! 9 ok 2\n", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = mem_xformat("%s%s", start, cases[i].end);
        assert_int_equal(judge(text), cases[i].violations);
        free(text);
    }
    /* A fill goes into what its create made. */
    assert_int_equal(judge("a ? 1 create x\na ! 2 ok\na ? 5 fill x 1\na ! 6 ok\n"
                           "b ? 7 read x\nb ! 8 ok .\n"), 1);
    assert_int_equal(judge("a ? 1 create x\na ! 2 ok\nb ? 3 rename x y\nb ! 4 ok\nb ? 5 create x\nb ! 6 ok\n"
                           "a ? 7 fill x 1\na ! 8 ok\nc ? 9 read x\nc ! 10 ok .\n"), 0);
    assert_int_equal(judge("a ? 1 create x\na ! 2 ok\nb ? 3 rename x y\nb ! 4 ok\nb ? 5 create x\nb ! 6 ok\n"
                           "a ? 7 fill x 1\na ! 8 ok\nc ? 9 read x\nc ! 10 ok 1\n"), 1);
}

static void test_torn(void **state)
{
    (void)state;
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\nb ? 3 read x\nb ! 4 ok torn:12\n"), 1);
    assert_true(says("not what anyone wrote"));
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ENOENT\n"), 1);
}

static void test_renames(void **state)
{
    (void)state;
    const char *start = "a ? 1 save x 1\na ! 2 ok\n";
    const struct { const char *end; uint64_t violations; } cases[] = {
        {"a ? 3 rename x y\na ! 9 ok\nb ? 4 rename x y\nb ! 8 ENOENT\n", 0},
        {"a ? 3 rename x y\na ! 9 ok\nb ? 4 rename x y\nb ! 8 ok\n", 1},
        {"a ? 3 rename x y\na ! 4 ok\nb ? 5 read x\nb ! 6 ok 1\n", 1},
        {"a ? 3 rename x y\na ! 4 ok\nb ? 5 read y\nb ! 6 ok -\n", 1},
        /* Both names at once: it is one change. */
        {"a ? 3 rename x y\na ! 9 ok\nb ? 4 read y\nb ! 5 ok 1\nb ? 6 read x\nb ! 7 ok 1\n", 1},
        {"a ? 3 rename x y\na ! 9 ok\nb ? 4 read x\nb ! 5 ok -\nb ? 6 read y\nb ! 7 ok -\n", 1},
        {"a ? 3 rename x y\na ! 9 ok\nb ? 4 read y\nb ! 5 ok -\nb ? 6 read x\nb ! 7 ok -\n", 0},
        {"a ? 3 rename x y\na ! 4 unknown:EIO\nb ? 4 read x\nb ! 5 ok -\nb ? 6 read y\nb ! 7 ok -\n", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = mem_xformat("%s%s", start, cases[i].end);
        assert_int_equal(judge(text), cases[i].violations);
        free(text);
    }
}

static void test_too_many_names(void **state)
{
    (void)state;
    struct buf text = {0};
    for (int i = 0; i <= GROUP_NAMES_MAX; i++)
        buf_append_format(&text, "a ? %d rename x y%d\na ! %d ENOENT\n", 2 * i, i, 2 * i + 1);
    buf_append_u8(&text, 0);
    assert_int_equal(judge((const char *)text.data), 1);
    buf_release(&text);
}

/* ---- files of appends ---- */

static void test_appends(void **state)
{
    (void)state;
    assert_int_equal(judge("a ? 1 append x 1\na ! 5 ok\nb ? 2 append x 2\nb ! 4 ok\n"
                           "c ? 3 read x\nc ! 6 ok 2\nc ? 7 read x\nc ! 8 ok 2+1\n"), 0);
    assert_int_equal(verdict.appended_files, 1);
    assert_int_equal(verdict.groups, 0);
    assert_int_equal(judge("a ? 1 read x\na ! 2 ok -\n"), 0);
}

static void test_appends_planted(void **state)
{
    (void)state;
    const char *start = "a ? 1 append x 1\na ! 2 ok\nb ? 3 append x 2\nb ! 4 ok\n"
                        "c ? 5 append x 3\nc ! 6 unknown:EIO\nd ? 7 append x 4\nd ! 8 none:EROFS\n";
    const struct { const char *end, *says; } cases[] = {
        {"a ? 9 read x\na ! 10 ok 1+2\n", NULL},
        {"a ? 9 read x\na ! 10 ok 1+2+3\n", NULL},
        {"a ? 9 read x\na ! 10 ok 1\n", "is lost"},
        {"a ? 9 read x\na ! 10 ok 2+1\n", "before one that was there"},
        {"a ? 9 read x\na ! 10 ok 1+2+2\n", "twice"},
        {"a ? 9 read x\na ! 10 ok 1+2+4\n", "refused and is there"},
        {"a ? 9 read x\na ! 10 ok 1+2+5\n", "nobody wrote"},
        {"a ? 9 read x\na ! 10 ok torn:3\nb ? 11 read x\nb ! 12 ok 1+2\n", "not what anyone wrote"},
        {"a ? 9 read x\na ! 10 ok 1+2+3\nb ? 11 read x\nb ! 12 ok 1+2\n", "goes back"},
        {"a ? 3 read x\na ! 4 ok 3\nb ? 11 read x\nb ! 12 ok 1+2\n", "not how the file begins"},
        {"a ? 9 read x\na ! 10 ok *2:0\nb ? 11 read x\nb ! 12 ok 1+2\n", "not how the file begins"},
        {"a ? 9 read x\na ! 10 ok *2:0\n", "nobody read all lines"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = mem_xformat("%s%s", start, cases[i].end);
        uint64_t violations = judge(text);
        assert_int_equal(violations > 0, cases[i].says != NULL);
        assert_true(!cases[i].says || says(cases[i].says));
        free(text);
    }
}

/* ---- both judges, on what a register does by chance ---- */

#define CLIENTS 5

struct world {
    struct rand rand;
    struct buf text;
    char *contents[2];          /* of x and y; NULL: absent */
    int64_t now;
    unsigned lines;
    bool appends_only;
};

static void grow(struct world *world, int place, bool is_append)
{
    char *old = world->contents[place];
    world->contents[place] = is_append && old && *old ? mem_xformat("%s+%u", old, world->lines)
                                                      : mem_xformat("%u", world->lines);
    free(old);
}

/* Asked and answered around the moment world->now, at which it takes place. */
static void happen(struct world *world, int client)
{
    int64_t asked = world->now - (int64_t)rand_below(&world->rand, 40);
    int64_t answered = world->now + (int64_t)rand_below(&world->rand, 40);
    int place = world->appends_only ? 0 : (int)rand_below(&world->rand, 2);
    char *content = world->contents[place];
    uint64_t what = rand_below(&world->rand, 6);       /* half of them read */
    if (what > 3 || (world->appends_only && what < 3))
        what = 0;
    bool is_lost = rand_chance(&world->rand, 1, 25) && what;       /* nobody hears of it */
    buf_append_format(&world->text, "c%d ? %lld ", client, (long long)asked);
    if (what == 0)
        buf_append_format(&world->text, "read %c\nc%d ! %lld ok %s\n", 'x' + place, client,
                          (long long)answered, content ? content : "-");
    else if (what == 2)
        buf_append_format(&world->text, "rename %c %c\nc%d ! %lld %s\n", 'x' + place, 'y' - place, client,
                          (long long)answered, is_lost ? "unknown:EIO" : content ? "ok" : "ENOENT");
    else
        buf_append_format(&world->text, "%s %c %u\nc%d ! %lld %s\n", what == 1 ? "save" : "append",
                          'x' + place, ++world->lines, client, (long long)answered,
                          is_lost ? "unknown:EIO" : "ok");
    if (is_lost && rand_chance(&world->rand, 1, 2))
        return;
    if (what == 2 && content) {
        free(world->contents[!place]);
        world->contents[!place] = content;
        world->contents[place] = NULL;
    } else if (what == 1 || what == 3) {
        grow(world, place, what == 3);
    }
}

static void make_world(struct world *world, uint64_t seed, bool appends_only)
{
    *world = (struct world){.now = 1000, .appends_only = appends_only};
    rand_init(&world->rand, seed);
    /* A client asks one thing at a time: its turn comes again after 80. */
    for (int i = 0; i < 300; i++, world->now += 20)
        happen(world, i % CLIENTS);
    for (int place = 0; place < 2; place++)
        buf_append_format(&world->text, "last ? %lld read %c\nlast ! %lld ok %s\n",
                          (long long)world->now + 100 + 2 * place, 'x' + place,
                          (long long)world->now + 101 + 2 * place,
                          world->contents[place] ? world->contents[place] : "-");
    buf_append_u8(&world->text, 0);
}

static void world_release(struct world *world)
{
    free(world->contents[0]);
    free(world->contents[1]);
    buf_release(&world->text);
}

/* Its first read of something says something else. */
static bool spoil(struct world *world)
{
    char *text = (char *)world->text.data, *at = text + world->text.size / 2;
    for (; (at = strstr(at, " read ")); at++) {
        char *answer = strstr(at, " ok ");
        if (!answer || answer[4] == '-')
            continue;
        answer[4] = answer[4] == '9' ? '8' : '9';
        return true;
    }
    return false;
}

static void test_chance(void **state)
{
    (void)state;
    unsigned spoilt = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world world;
        make_world(&world, seed, seed % 3 == 0);
        assert_int_equal(judge((const char *)world.text.data), 0);
        if (spoil(&world)) {
            spoilt++;
            assert_true(judge((const char *)world.text.data) > 0);
        }
        world_release(&world);
    }
    assert_true(spoilt > 40);
}

/* A search that is too long says so, and is no verdict. */
static void test_given_up(void **state)
{
    (void)state;
    const char *text = "a ? 1 save x 1\nb ? 1 save x 2\nc ? 1 save x 3\nd ? 1 rename x y\n"
                       "e ? 2 read x\ne ! 3 ok 1\ne ? 4 read x\ne ! 5 ok 2\ne ? 6 read x\ne ! 7 ok 1\n";
    uint32_t numbers[] = {0, 1, 2, 3, 4, 5, 6};
    struct history history = {0};
    struct err err;
    assert_ok(history_read(&history, bytes_of(text, strlen(text)), &err));
    assert_ok(history_finish(&history, &err));
    check_search(&history, numbers, 7, 4, &verdict);
    assert_int_equal(verdict.undecided, 1);
    assert_int_equal(verdict.violations, 0);
    check_search(&history, numbers, 7, 10000, &verdict);
    assert_int_equal(verdict.undecided, 1);
    assert_int_equal(verdict.violations, 1);
    history_release(&history);
}

static void test_no_history(void **state)
{
    (void)state;
    const char *texts[] = {
        "a\n", "a ?\n", "a ? x read x\n", "a ? 1 look x\n", "a ? 1 read x y\n", "a ? 1 save x\n",
        "a ! 1 ok\n", "a ? 1 save x 1\na ! 0 ok\n", "a ? 1 save x 1\na ! 2 ok\na ! 3 ok\n",
        "a ? 1 save x 1\na ! 2 perhaps\n", "a ? 1 read x\na ! 2 ok\n", "a ? 1 read x\na ! 2 ok +\n",
        "a ? 1 read x\na ! 2 ok *x:1\n", "a ? 1 read x\na ! 2 ok *1:x\n", "a ? 1 save x 1\na ! 2 ok 1\n",
        "a ? 1 fill x 1\na ! 2 ok\n", "a ? 1 create x\na ! 2 EEXIST\na ? 3 fill x 1\na ! 4 ok\n",
        "a ? 1 create y\na ! 2 ok\na ? 3 fill x 1\na ! 4 ok\n", "a ? 1 a b c d e f g\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct history history = {0};
        struct err err;
        enum err_code code = history_read(&history, bytes_of(texts[i], strlen(texts[i])), &err);
        if (code == ERR_OK)
            code = history_finish(&history, &err);
        assert_err(code, INVALID);
        history_release(&history);
    }
    /* A line that was cut off is no line. */
    assert_int_equal(judge("a ? 1 save x 1\na ! 2 ok\na ? 3 sav"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_good, tear_down),
        cmocka_unit_test_teardown(test_concurrent, tear_down),
        cmocka_unit_test_teardown(test_stale_read, tear_down),
        cmocka_unit_test_teardown(test_lost_update, tear_down),
        cmocka_unit_test_teardown(test_exclusive, tear_down),
        cmocka_unit_test_teardown(test_unknown, tear_down),
        cmocka_unit_test_teardown(test_emptied, tear_down),
        cmocka_unit_test_teardown(test_file_without_name, tear_down),
        cmocka_unit_test_teardown(test_torn, tear_down),
        cmocka_unit_test_teardown(test_renames, tear_down),
        cmocka_unit_test_teardown(test_too_many_names, tear_down),
        cmocka_unit_test_teardown(test_appends, tear_down),
        cmocka_unit_test_teardown(test_appends_planted, tear_down),
        cmocka_unit_test_teardown(test_chance, tear_down),
        cmocka_unit_test_teardown(test_given_up, tear_down),
        cmocka_unit_test_teardown(test_no_history, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
