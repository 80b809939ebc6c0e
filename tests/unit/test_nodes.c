/* nodes: ids with generations, places, counts, moving. */
#include "tests/test.h"

#include "fs/nodes.h"
#include "proto/base/rand.h"

#define NAME(text) BYTES_LITERAL(text)

static struct node *find(struct nodes *nodes, struct node *parent, struct bytes name)
{
    return node_find(nodes, parent, NODE_LIVE, STEP_COMPONENT, name, 0);
}

static struct node *make(struct nodes *nodes, struct node *parent, struct bytes name)
{
    struct node *node = node_new(nodes, parent, NODE_LIVE, STEP_COMPONENT, name, 0);
    node_looked_up(node);
    node_unref(nodes, node);
    return node;
}

static void ids_have_generations(void **state)
{
    (void)state;
    struct nodes nodes;
    nodes_init(&nodes);
    assert_ptr_equal(node_by_id(&nodes, NODE_ROOT), nodes.root);
    struct node *node = make(&nodes, nodes.root, NAME("a"));
    uint64_t id = node->id;
    assert_ptr_equal(node_by_id(&nodes, id), node);
    node_forget(&nodes, node, 1);
    assert_null(node_by_id(&nodes, id));
    assert_null(find(&nodes, nodes.root, NAME("a")));
    struct node *again = make(&nodes, nodes.root, NAME("a"));
    assert_true(again->id != id);
    assert_int_equal((uint32_t)again->id, (uint32_t)id);        /* the same slot */
    assert_null(node_by_id(&nodes, id));
    assert_null(node_by_id(&nodes, 0));
    assert_null(node_by_id(&nodes, 99));
    assert_null(node_by_id(&nodes, UINT64_MAX));
    nodes_release(&nodes);
}

static void children_hold_their_parents(void **state)
{
    (void)state;
    struct nodes nodes;
    nodes_init(&nodes);
    struct node *parent = make(&nodes, nodes.root, NAME("d"));
    struct node *child = make(&nodes, parent, NAME("f"));
    uint64_t id = parent->id;
    node_forget(&nodes, parent, 1);
    assert_ptr_equal(node_by_id(&nodes, id), parent);
    node_forget(&nodes, child, 5);              /* more than were given: not below zero */
    assert_null(node_by_id(&nodes, id));
    assert_int_equal(nodes.node_count, 1);
    nodes_release(&nodes);
}

static void a_place_has_one_current_node(void **state)
{
    (void)state;
    struct nodes nodes;
    nodes_init(&nodes);
    struct node *old = make(&nodes, nodes.root, NAME("f"));
    struct node *fresh = make(&nodes, nodes.root, NAME("f"));
    assert_true(old->id != fresh->id);
    assert_ptr_equal(find(&nodes, nodes.root, NAME("f")), fresh);
    assert_ptr_equal(node_by_id(&nodes, old->id), old);
    node_remove(&nodes, fresh);
    assert_null(find(&nodes, nodes.root, NAME("f")));
    assert_true(fresh->removed);
    node_forget(&nodes, old, 1);
    node_forget(&nodes, fresh, 1);
    assert_int_equal(nodes.node_count, 1);
    nodes_release(&nodes);
}

static void moving_takes_everyone_along(void **state)
{
    (void)state;
    struct nodes nodes;
    nodes_init(&nodes);
    struct node *from = make(&nodes, nodes.root, NAME("from"));
    struct node *to = make(&nodes, nodes.root, NAME("to"));
    struct node *old = make(&nodes, from, NAME("x"));
    struct node *current = make(&nodes, from, NAME("x"));
    struct node *replaced = make(&nodes, to, NAME("y"));
    node_move(&nodes, from, NAME("x"), STEP_COMPONENT, to, NAME("y"), STEP_COMPONENT);
    assert_null(find(&nodes, from, NAME("x")));
    assert_ptr_equal(find(&nodes, to, NAME("y")), current);
    assert_ptr_equal(old->parent, to);
    assert_true(replaced->removed);
    node_exchange(&nodes, nodes.root, NAME("from"), STEP_COMPONENT, nodes.root, NAME("to"),
                  STEP_COMPONENT);
    assert_ptr_equal(find(&nodes, nodes.root, NAME("to")), from);
    assert_ptr_equal(find(&nodes, nodes.root, NAME("from")), to);
    assert_ptr_equal(find(&nodes, to, NAME("y")), current);
    nodes_release(&nodes);
}

static void past_and_live_stand_apart(void **state)
{
    (void)state;
    struct nodes nodes;
    nodes_init(&nodes);
    struct node *live = make(&nodes, nodes.root, NAME("f"));
    struct node *past = node_new(&nodes, nodes.root, NODE_PAST, STEP_COMPONENT, NAME("f"), 7);
    assert_ptr_equal(find(&nodes, nodes.root, NAME("f")), live);
    assert_ptr_equal(node_find(&nodes, nodes.root, NODE_PAST, STEP_COMPONENT, NAME("f"), 7), past);
    assert_null(node_find(&nodes, nodes.root, NODE_PAST, STEP_COMPONENT, NAME("f"), 8));
    assert_null(node_find(&nodes, nodes.root, NODE_LIVE, STEP_OWN_VALUE, NAME("f"), 0));
    node_unref(&nodes, past);
    nodes_release(&nodes);
}

/* Against a plain model: names of one directory, made, moved, removed and forgotten by chance. */
static void many_by_chance(void **state)
{
    (void)state;
    struct nodes nodes;
    struct rand rand;
    uint64_t model[64] = {0};
    rand_init(&rand, 3);
    nodes_init(&nodes);
    for (int round = 0; round < 50000; round++) {
        uint8_t at = (uint8_t)rand_below(&rand, 64), to = (uint8_t)rand_below(&rand, 64);
        struct node *node = find(&nodes, nodes.root, bytes_of(&at, 1));
        assert_int_equal(node ? node->id : 0, model[at]);
        switch (rand_below(&rand, 4)) {
        case 0:
            if (!node)
                model[at] = make(&nodes, nodes.root, bytes_of(&at, 1))->id;
            break;
        case 1:
            if (node) {
                node_remove(&nodes, node);
                node_forget(&nodes, node, 1);
                model[at] = 0;
            }
            break;
        case 2:
            if (node)
                node_forget(&nodes, node, 1);
            model[at] = 0;
            break;
        default:
            if (node && at != to) {
                struct node *target = find(&nodes, nodes.root, bytes_of(&to, 1));
                node_move(&nodes, nodes.root, bytes_of(&at, 1), STEP_COMPONENT, nodes.root,
                          bytes_of(&to, 1), STEP_COMPONENT);
                if (target)
                    node_forget(&nodes, target, 1);
                model[to] = model[at];
                model[at] = 0;
            }
        }
    }
    nodes_release(&nodes);
}

static void grows(void **state)
{
    (void)state;
    struct nodes nodes;
    nodes_init(&nodes);
    for (uint32_t i = 0; i < 5000; i++)
        make(&nodes, nodes.root, bytes_of(&i, sizeof(i)));
    for (uint32_t i = 0; i < 5000; i++) {
        struct node *node = find(&nodes, nodes.root, bytes_of(&i, sizeof(i)));
        assert_non_null(node);
        assert_ptr_equal(node_by_id(&nodes, node->id), node);
    }
    nodes_release(&nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_have_generations),    cmocka_unit_test(children_hold_their_parents),
        cmocka_unit_test(a_place_has_one_current_node), cmocka_unit_test(moving_takes_everyone_along),
        cmocka_unit_test(past_and_live_stand_apart), cmocka_unit_test(many_by_chance),
        cmocka_unit_test(grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
