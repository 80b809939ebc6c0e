/* cluster/start: what a start is, by its options and the folder; what is kept for the next one. */
#include "tests/test.h"

#include "cluster/start.h"
#include "proto/base/mem.h"
#include "tests/sim/sim_disk.h"

#define LIST "a=h1:1,b=h2:2"

static struct datadir folder;
static struct start start;
static struct rand chance;
static struct disk *own_disk;               /* of folder, while a test has another in its place */

static int make_folder(void **state)
{
    *state = test_folder_new();
    rand_init(&chance, 1);
    return datadir_open(&folder, *state, NULL);
}

static int remove_folder(void **state)
{
    datadir_close(&folder);
    test_folder_remove(*state);
    return 0;
}

static void decide(struct start_options options)
{
    struct err err = {0};
    enum err_code code = start_decide(&start, &options, &folder, &err);
    if (code != ERR_OK)
        print_message("%s\n", err.text);
    assert_ok(code);
    start_draw(&start, &chance);
    assert_ok(start_keep(&start, &folder, NULL));
}

static void refuse(struct start_options options, const char *wanted)
{
    struct err err = {0};
    assert_err(start_decide(&start, &options, &folder, &err), INVALID);
    if (!strstr(err.text, wanted))
        fail_msg("\"%s\" has no \"%s\"", err.text, wanted);
}

static void become_member(uint64_t cluster_id, const char *name)
{
    struct identity identity = {.cluster_id = cluster_id, .member_id = 5, .generation = 6};
    snprintf(identity.name, sizeof identity.name, "%s", name);
    assert_ok(datadir_set_identity(&folder, &identity, NULL));
    assert_ok(start_joined(&folder, NULL));
}

static void alone(void **state)
{
    (void)state;
    decide((struct start_options){.name = "any line"});
    assert_int_equal(start.kind, START_ALONE);
    assert_string_equal(start.name, "any line");
    assert_string_equal(start.listen, "");
    decide((struct start_options){.name = "x", .listen = "0.0.0.0:7", .advertise = "h:7"});
    assert_int_equal(start.kind, START_ALONE);
    become_member(1, "x");
    decide((struct start_options){0});
    assert_int_equal(start.kind, START_AGAIN);
    assert_string_equal(start.listen, "0.0.0.0:7");
    assert_string_equal(start.advertise, "h:7");
    refuse((struct start_options){.listen = "0.0.0.0:8"}, "--advertise");  /* the old one may be wrong */
    decide((struct start_options){.listen = "h:8"});
    assert_string_equal(start.advertise, "h:8");
    decide((struct start_options){.advertise = "g:8"});
    assert_string_equal(start.listen, "h:8");
    assert_string_equal(start.advertise, "g:8");
}

static void one_of_the_first(void **state)
{
    struct first_members first;
    (void)state;
    decide((struct start_options){.name = "b", .cluster = LIST});
    assert_int_equal(start.kind, START_FORM);
    assert_string_equal(start.listen, "h2:2");
    decide((struct start_options){.name = "b", .cluster = LIST, .listen = "0.0.0.0:2"});
    assert_string_equal(start.listen, "0.0.0.0:2");
    assert_string_equal(start.advertise, "h2:2");
    assert_ok(first_members_parse(LIST, &first, NULL));
    assert_int_equal(start.first.cluster_id, first.cluster_id);

    become_member(first.cluster_id, "b");
    decide((struct start_options){.name = "b", .cluster = "b=h2:2,a=h1:1"});   /* a unit file keeps it */
    assert_int_equal(start.kind, START_AGAIN);
    assert_string_equal(start.listen, "0.0.0.0:2");
    decide((struct start_options){.join = "h1:1", .listen = "h2:2"});
    assert_int_equal(start.kind, START_AGAIN);
    refuse((struct start_options){.cluster = "a=h1:1"}, "names another one");
    refuse((struct start_options){.cluster = "a"}, "--cluster: not NAME=HOST:PORT");
    refuse((struct start_options){.cluster = LIST, .name = "a"}, "folder of member \"b\", not of \"a\"");
    decide((struct start_options){.name = "a"});                /* kept from the first start */
    assert_string_equal(start.name, "b");
}

static void a_list_of_one_is_a_cluster_of_its_own(void **state)
{
    (void)state;
    decide((struct start_options){.name = "a", .cluster = "a=h1:1"});
    assert_int_equal(start.kind, START_ALONE);
    assert_string_equal(start.advertise, "h1:1");
    become_member(77, "a");                                     /* drawn, like that of one without a list */
    decide((struct start_options){.name = "a", .cluster = "a=h1:1"});
    assert_int_equal(start.kind, START_AGAIN);
    refuse((struct start_options){.cluster = LIST}, "names another one");
    refuse((struct start_options){.cluster = "b=h1:1"}, "names another one");
}

static void a_joiner_asks_for_the_same_again(void **state)
{
    struct start_options options = {.name = "d", .listen = "h4:4", .join = "h1:1", .learner = true};
    (void)state;
    decide(options);
    raft_id id = start.joining.id;
    uint64_t generation = start.joining.generation;
    assert_int_equal(start.kind, START_JOIN);
    assert_true(id && generation > MEMBER_RESERVED && start.learner);
    decide((struct start_options){0});                          /* not even --join is needed */
    assert_int_equal(start.kind, START_JOIN);
    assert_int_equal(start.joining.id, id);
    assert_int_equal(start.joining.generation, generation);
    assert_string_equal(start.joining.at, "h1:1");
    assert_string_equal(start.name, "d");
    assert_string_equal(start.advertise, "h4:4");
    assert_true(start.learner);
    decide((struct start_options){.join = "h2:2", .name = "dd"});     /* another door, another name */
    assert_int_equal(start.joining.id, id);
    assert_string_equal(start.joining.at, "h2:2");
    assert_string_equal(start.name, "dd");
    refuse((struct start_options){.cluster = LIST, .name = "a"}, "began to join the cluster of \"h2:2\"");
    become_member(9, "dd");
    decide((struct start_options){0});
    assert_int_equal(start.kind, START_AGAIN);
    assert_true(start.learner);
}

static void options_that_cannot_be(void **state)
{
    (void)state;
    refuse((struct start_options){.join = "h:1", .cluster = LIST}, "one of them, not both");
    refuse((struct start_options){.join = "h:1", .name = "d"}, "--join goes with --listen");
    refuse((struct start_options){.join = "h", .name = "d", .listen = "h:1"}, "--join: ");
    refuse((struct start_options){.join = "h:1", .name = "a b", .listen = "h:1"}, "not a name");
    refuse((struct start_options){.join = "h:1", .name = "d", .listen = "[::]:1"}, "every address");
    refuse((struct start_options){.learner = true}, "--learner goes with --join");
    refuse((struct start_options){.cluster = LIST, .name = "c"}, "none of that name");
    refuse((struct start_options){.cluster = LIST, .name = "a", .advertise = "x:1"},
           "not the address of \"a\"");
    refuse((struct start_options){.listen = "h"}, "--listen: ");
    refuse((struct start_options){.listen = "h:0"}, "port 0");
    refuse((struct start_options){.listen = "h:1", .advertise = "0.0.0.0:1"}, "--advertise: ");
    refuse((struct start_options){.advertise = "h:1"}, "--advertise goes with --listen");
}

static void damaged_files_are_refused(void **state)
{
    char *path = datadir_path(&folder, "options");
    struct err err;
    struct start_options none = {0};
    (void)state;
    decide((struct start_options){.name = "x", .listen = "h:1"});
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fputc('C', file), 'C');
    assert_int_equal(fclose(file), 0);
    assert_err(start_decide(&start, &none, &folder, &err), CORRUPT);
    assert_non_null(strstr(err.text, path));
    free(path);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

/* A disk that is full must not keep a member from starting: what stands is not written again, and what a kill
 * left without a durable name becomes durable. */
static void what_stands_is_not_written_again(void **state)
{
    const struct start_options options = {.name = "d", .listen = "h4:4", .join = "h1:1"};
    struct sim_disk *disk = sim_disk_new(1);
    (void)state;
    folder.disk = sim_disk_door(disk);
    decide(options);
    uint64_t changes = sim_disk_changes(disk);
    uint64_t synced = sim_disk_calls_of(disk, SIM_DISK_FOLDER);
    decide(options);
    assert_int_equal(sim_disk_changes(disk), changes);
    assert_true(sim_disk_calls_of(disk, SIM_DISK_FOLDER) > synced);
    decide((struct start_options){.join = "h2:2"});
    assert_true(sim_disk_changes(disk) > changes);
    sim_disk_free(disk);
}

static int use_other_disk(void **state)
{
    int made = make_folder(state);
    own_disk = folder.disk;
    return made;
}

static int give_disk_back(void **state)
{
    folder.disk = own_disk;
    return remove_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(alone), IN_FOLDER(one_of_the_first), IN_FOLDER(a_list_of_one_is_a_cluster_of_its_own),
        IN_FOLDER(a_joiner_asks_for_the_same_again),
        IN_FOLDER(options_that_cannot_be), IN_FOLDER(damaged_files_are_refused),
        cmocka_unit_test_setup_teardown(what_stands_is_not_written_again, use_other_disk, give_disk_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
