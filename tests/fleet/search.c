/* A search for an order of operations that explains all answers (Wing and Gong, "Testing and Verifying
 * Concurrent Objects", 1993), which remembers where it has been (Lowe, "Testing for linearizability", 2017).
 *
 * Questions and answers stand in one list, by time. What may come next is whatever was asked before the first
 * answer that stands in the list; who is placed leaves it. When nothing fits, the last placement is undone.
 *
 *     a? b? a! c? b! c!        next: a or b.     After b:  a? a! c? c!      next: a alone.
 *
 * Operations of unknown outcome have no answer, are tried last, and need not be placed. Each of them doubles
 * what a vain search goes through, so what readers listed is used first. A line that was seen was written
 * before that reader's answer, and onto the lines that stand before it there. What is of unknown outcome and
 * was never seen matters only where it makes a name; and files that hold something unseen are all alike.
 *
 * Two shortcuts, neither of which loses an order that exists: what only looked, and fits, is placed at once;
 * and where the search has been is kept as a 64-bit hash. (Two places with one hash could make a good
 * history look bad, with a probability of 1 in 10^5 at a million places; never a bad one good.)
 *
 * Which file a save or append had opened is not searched for. When a rename takes a file from its name,
 * every one that may have been opened before is marked: it may change nothing. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/hash.h"
#include "proto/base/mem.h"
#include "tests/fleet/check.h"

#define NAMES_MAX GROUP_NAMES_MAX
#define NONE UINT32_MAX
#define HASH_UNSEEN 1           /* what a file holds that nobody read */

struct name {
    bool is_there;
    uint32_t file;              /* the item that made it */
    uint32_t count;
    uint64_t hash;
    const char *last;           /* line, for people */
};

struct item {
    const struct operation *operation;
    uint32_t from, to;          /* its names' places */
    int64_t answered;           /* or when its line was first seen */
    bool is_optional;           /* of unknown outcome */
    bool is_seen, is_unseen;    /* its line was read by someone, or surely by nobody; or it is not known */
    uint64_t seen_hash;         /* of what the file then holds up to that line */
    uint32_t saves;             /* it is only the emptying that this item may begin with; else NONE */
    uint32_t partner;           /* of a create: its fill; of a fill: its create; else NONE */
    bool is_placed, is_marked;
};

struct choice {
    uint32_t item;
    bool changes_nothing;       /* it wrote into a file without a name */
};

struct frame {
    size_t first, count, next;  /* of its choices */
    struct name before[NAMES_MAX];
    uint64_t hash;              /* of what is placed and marked */
    size_t marks;
    uint32_t missing;
};

struct search {
    const struct history *history;
    struct verdict *verdict;
    uint32_t paths[NAMES_MAX];
    uint32_t name_count;
    struct name names[NAMES_MAX];
    struct item *items;
    uint32_t item_count, missing;       /* missing: must be placed still */
    struct moment {                     /* 0 is the list's head; 2i+1 asks item i, 2i+2 answers it */
        int64_t time;
        uint32_t next, previous;
    } *moments;
    bool is_hopeless;
    uint64_t hash;
    struct frame *frames;
    size_t depth;
    struct choice *choices;
    size_t choice_count, choice_capacity;
    uint32_t *marks;                    /* items in the order of marking */
    size_t mark_count, mark_capacity;
    uint64_t *seen;                     /* a table; 0 is empty */
    size_t seen_count, seen_capacity;
    struct {                            /* how far it came */
        uint32_t missing, stuck;
        struct name names[NAMES_MAX];
    } best;
};

/* ---- what has been seen ---- */

static bool table_add(uint64_t *table, size_t capacity, uint64_t hash)
{
    size_t place = hash & (capacity - 1);
    while (table[place] && table[place] != hash)
        place = (place + 1) & (capacity - 1);
    if (table[place])
        return false;
    table[place] = hash;
    return true;
}

static void grow_seen(struct search *search)
{
    size_t capacity = search->seen_capacity ? 2 * search->seen_capacity : 4096;
    uint64_t *table = mem_xzalloc(capacity * sizeof *table);
    for (size_t i = 0; i < search->seen_capacity; i++)
        if (search->seen[i])
            (void)table_add(table, capacity, search->seen[i]);
    free(search->seen);
    search->seen = table;
    search->seen_capacity = capacity;
}

/* Whose create's fill is still to come matters; otherwise files are alike. */
static uint32_t file_that_matters(const struct search *search, const struct name *name)
{
    uint32_t fill = search->items[name->file].partner;
    bool waits = search->items[name->file].operation->kind == OPERATION_CREATE && fill != NONE &&
                 !search->items[fill].is_placed;
    return waits ? name->file + 1 : 0;
}

static uint64_t state_hash(const struct search *search)
{
    uint64_t hash = search->hash;
    for (uint32_t i = 0; i < search->name_count; i++) {
        const struct name *name = &search->names[i];
        uint64_t word = name->is_there ? 1 + name->count : 0;
        if (name->is_there)
            word = hash_u64(word ^ name->hash) + file_that_matters(search, name);
        hash = hash_u64(hash + hash_u64(word + i));
    }
    return hash ? hash : 1;
}

static bool is_new_here(struct search *search)
{
    if (2 * (search->seen_count + 1) > search->seen_capacity)
        grow_seen(search);
    bool is_new = table_add(search->seen, search->seen_capacity, state_hash(search));
    search->seen_count += is_new;
    return is_new;
}

/* ---- the model ---- */

static bool only_looks(const struct item *item)
{
    return item->operation->kind == OPERATION_READ || item->operation->outcome == OUTCOME_TOLD;
}

static struct value value_after(const struct name *name, const struct item *item)
{
    bool is_append = item->operation->kind == OPERATION_APPEND && name->is_there;
    struct value value = {.is_there = true, .count = is_append ? name->count : 0,
                          .hash = is_append ? name->hash : 0};
    if (item->saves != NONE)
        return value;
    const char *id = item->operation->id;
    value_add(&value, bytes_of(id, strlen(id)));
    if (item->is_unseen)
        value = (struct value){.is_there = true, .count = 1, .hash = HASH_UNSEEN};
    return value;
}

static bool gives_what_was_seen(const struct name *name, const struct item *item)
{
    return !item->is_seen || value_after(name, item).hash == item->seen_hash;
}

static bool fill_fits(const struct search *search, const struct item *item, bool changes_nothing)
{
    const struct name *name = &search->names[item->from];
    if (!search->items[item->partner].is_placed)
        return false;
    if (changes_nothing)
        return item->is_marked && !item->is_seen;
    return name->is_there && name->file == item->partner && name->count == 0 && gives_what_was_seen(name, item);
}

static bool fits(const struct search *search, const struct item *item, bool changes_nothing)
{
    const struct operation *operation = item->operation;
    const struct name *name = &search->names[item->from];
    bool is_told = operation->outcome == OUTCOME_TOLD;
    if (item->is_unseen && item->is_optional && name->is_there)
        return false;
    if (item->saves != NONE)
        return !changes_nothing && !search->items[item->saves].is_placed;
    switch (operation->kind) {
    case OPERATION_CREATE:
        return !changes_nothing && name->is_there == is_told;
    case OPERATION_FILL:
        return fill_fits(search, item, changes_nothing);
    case OPERATION_RENAME:
        return !changes_nothing && name->is_there != is_told;
    case OPERATION_READ:
        return !changes_nothing && name->is_there == operation->value.is_there &&
               (!name->is_there ||
                (name->count == operation->value.count && name->hash == operation->value.hash));
    default:
        return changes_nothing ? item->is_marked && !item->is_optional && !item->is_seen
                               : gives_what_was_seen(name, item);
    }
}

static void write_line(struct search *search, uint32_t number)
{
    const struct item *item = &search->items[number];
    struct name *name = &search->names[item->from];
    struct value value = value_after(name, item);
    if (!name->is_there)
        *name = (struct name){.is_there = true, .file = number};
    name->count = value.count;
    name->hash = value.hash;
    name->last = item->saves == NONE ? item->operation->id : NULL;
}

static void take_place(struct search *search, uint32_t number)
{
    const struct item *item = &search->items[number];
    const struct operation *operation = item->operation;
    struct name *name = &search->names[item->from];
    if (only_looks(item))
        return;
    if (item->saves == NONE && operation->kind == OPERATION_CREATE) {
        *name = (struct name){.is_there = true, .file = number};
    } else if (operation->kind == OPERATION_RENAME) {
        struct name moved = *name;
        *name = (struct name){0};
        search->names[item->to] = moved;
    } else {
        write_line(search, number);
    }
}

/* ---- marks ---- */

static uint64_t hash_of_item(uint32_t item, bool of_mark)
{
    return hash_u64(2 * (uint64_t)item + of_mark + 1);
}

static void mark(struct search *search, uint32_t number)
{
    struct item *item = &search->items[number];
    if (item->is_marked || item->is_placed)
        return;
    item->is_marked = true;
    search->hash ^= hash_of_item(number, true);
    if (search->mark_count == search->mark_capacity) {
        search->mark_capacity = search->mark_capacity ? 2 * search->mark_capacity : 64;
        search->marks = mem_xrealloc(search->marks, search->mark_capacity * sizeof *search->marks);
    }
    search->marks[search->mark_count++] = number;
}

static bool is_question(uint32_t moment) { return moment % 2 == 1; }
static uint32_t item_of(uint32_t moment) { return (moment - 1) / 2; }

/* The file at this name goes away from it. */
static void mark_who_has_it_open(struct search *search, uint32_t place)
{
    const struct name *name = &search->names[place];
    if (!name->is_there)
        return;
    const struct item *maker = &search->items[name->file];
    if (maker->operation->kind == OPERATION_CREATE && maker->partner != NONE)
        mark(search, maker->partner);
    for (uint32_t at = search->moments[0].next; at && is_question(at); at = search->moments[at].next) {
        const struct item *item = &search->items[item_of(at)];
        enum operation_kind kind = item->operation->kind;
        if (item->from == place && item->saves == NONE && !item->is_optional &&
            (kind == OPERATION_SAVE || kind == OPERATION_APPEND))
            mark(search, item_of(at));
    }
}

static void unmark_to(struct search *search, size_t count)
{
    while (search->mark_count > count)
        search->items[search->marks[--search->mark_count]].is_marked = false;
}

/* ---- placing, and undoing it ---- */

static void leave_list(struct search *search, uint32_t moment)
{
    struct moment *all = search->moments;
    all[all[moment].previous].next = all[moment].next;
    all[all[moment].next].previous = all[moment].previous;
}

static void back_to_list(struct search *search, uint32_t moment)
{
    struct moment *all = search->moments;
    all[all[moment].previous].next = moment;
    all[all[moment].next].previous = moment;
}

static void place(struct search *search, const struct choice *choice)
{
    struct item *item = &search->items[choice->item];
    if (item->operation->kind == OPERATION_RENAME && !only_looks(item)) {
        mark_who_has_it_open(search, item->from);
        mark_who_has_it_open(search, item->to);
    }
    if (!choice->changes_nothing)
        take_place(search, choice->item);
    item->is_placed = true;
    search->hash ^= hash_of_item(choice->item, false);
    if (item->is_marked)
        search->hash ^= hash_of_item(choice->item, true);
    leave_list(search, 2 * choice->item + 1);
    if (item->is_optional)
        return;
    leave_list(search, 2 * choice->item + 2);
    search->missing--;
}

static void undo(struct search *search, const struct frame *frame)
{
    const struct choice *choice = &search->choices[frame->first + frame->next - 1];
    struct item *item = &search->items[choice->item];
    if (!item->is_optional)
        back_to_list(search, 2 * choice->item + 2);
    back_to_list(search, 2 * choice->item + 1);
    item->is_placed = false;
    unmark_to(search, frame->marks);
    memcpy(search->names, frame->before, sizeof search->names);
    search->hash = frame->hash;
    search->missing = frame->missing;
}

/* ---- choices ---- */

static void add_choice(struct search *search, uint32_t item, bool changes_nothing)
{
    if (search->choice_count == search->choice_capacity) {
        search->choice_capacity = search->choice_capacity ? 2 * search->choice_capacity : 1024;
        search->choices =
            mem_xrealloc(search->choices, search->choice_capacity * sizeof *search->choices);
    }
    search->choices[search->choice_count++] = (struct choice){item, changes_nothing};
}

/* True: something that only looked fits, and is the one choice. */
static bool choose_look(struct search *search)
{
    for (uint32_t at = search->moments[0].next; at && is_question(at); at = search->moments[at].next) {
        const struct item *item = &search->items[item_of(at)];
        if (only_looks(item) && fits(search, item, false)) {
            add_choice(search, item_of(at), false);
            return true;
        }
    }
    return false;
}

static void choose_changes(struct search *search, bool optional, bool changes_nothing)
{
    for (uint32_t at = search->moments[0].next; at && is_question(at); at = search->moments[at].next) {
        const struct item *item = &search->items[item_of(at)];
        if (item->is_optional == optional && !only_looks(item) && fits(search, item, changes_nothing))
            add_choice(search, item_of(at), changes_nothing);
    }
}

static void open_frame(struct search *search)
{
    struct frame *frame = &search->frames[search->depth++];
    *frame = (struct frame){.first = search->choice_count, .hash = search->hash,
                            .marks = search->mark_count, .missing = search->missing};
    memcpy(frame->before, search->names, sizeof frame->before);
    if (!choose_look(search)) {
        choose_changes(search, false, false);
        choose_changes(search, false, true);
        choose_changes(search, true, false);
    }
    frame->count = search->choice_count - frame->first;
}

static void note_best(struct search *search)
{
    if (search->missing >= search->best.missing)
        return;
    uint32_t at = search->moments[0].next;
    while (at && is_question(at))
        at = search->moments[at].next;
    search->best.missing = search->missing;
    search->best.stuck = at ? item_of(at) : NONE;
    memcpy(search->best.names, search->names, sizeof search->names);
}

enum found { FOUND, FOUND_NOT, FOUND_TOO_LONG };

static enum found search_run(struct search *search, uint64_t states_max)
{
    search->best.missing = NONE;
    note_best(search);
    (void)is_new_here(search);
    open_frame(search);
    while (search->missing) {
        struct frame *frame = &search->frames[search->depth - 1];
        if (frame->next < frame->count) {
            struct choice choice = search->choices[frame->first + frame->next++];
            place(search, &choice);
            if (!is_new_here(search)) {
                undo(search, frame);
                continue;
            }
            note_best(search);
            open_frame(search);
        } else {
            search->choice_count = frame->first;
            if (--search->depth == 0)
                return FOUND_NOT;
            undo(search, &search->frames[search->depth - 1]);
        }
        if (search->seen_count > states_max)
            return FOUND_TOO_LONG;
    }
    return FOUND;
}

/* ---- what readers saw ---- */

struct sighting {               /* of a line */
    struct bytes id;
    int64_t answered;           /* the first reader who saw it */
    uint64_t hash;              /* of the lines up to it */
    const struct operation *read, *differs;     /* differs: it saw other lines before it */
    bool was_asked;
};

struct sightings {
    struct sighting *all;
    size_t count, capacity;
    bool is_whole;              /* every reader listed what it saw */
    bool of_emptied;            /* a reader saw an empty file, or one that begins with what was appended */
};

static int by_id(const void *left, const void *right)
{
    const struct sighting *a = left, *b = right;
    size_t size = a->id.size < b->id.size ? a->id.size : b->id.size;
    int order = size ? memcmp(a->id.data, b->id.data, size) : 0;
    return order ? order : (a->id.size > b->id.size) - (a->id.size < b->id.size);
}

static int by_id_and_answer(const void *left, const void *right)
{
    const struct sighting *a = left, *b = right;
    int order = by_id(left, right);
    return order ? order : (a->answered > b->answered) - (a->answered < b->answered);
}

static struct sighting *find_sighting(const struct sightings *sightings, const char *id)
{
    struct sighting wanted = {.id = bytes_of(id, strlen(id))};
    return sightings->count
               ? bsearch(&wanted, sightings->all, sightings->count, sizeof wanted, by_id)
               : NULL;
}

static void see(struct sightings *sightings, const struct operation *read)
{
    sightings->is_whole &= !read->value.is_there || read->listed;
    sightings->of_emptied |= read->value.is_there && read->value.count == 0;
    struct value value = {0};
    for (const char *text = read->listed; text && *text; text += *text == '+') {
        size_t size = strcspn(text, "+");
        value_add(&value, bytes_of(text, size));
        if (sightings->count == sightings->capacity) {
            sightings->capacity = sightings->capacity ? 2 * sightings->capacity : 256;
            sightings->all =
                mem_xrealloc(sightings->all, sightings->capacity * sizeof *sightings->all);
        }
        sightings->all[sightings->count++] =
            (struct sighting){.id = bytes_of(text, size), .answered = read->answered,
                              .hash = value.hash, .read = read};
        text += size;
    }
}

static bool begins_with(const struct operation *read, const char *id)
{
    size_t size = strlen(id);
    return read->listed && !strncmp(read->listed, id, size) &&
           (read->listed[size] == 0 || read->listed[size] == '+');
}

/* The first sighting of each line, by id. */
static void sort_sightings(struct sightings *sightings)
{
    size_t kept = 0;
    if (sightings->count)
        qsort(sightings->all, sightings->count, sizeof *sightings->all, by_id_and_answer);
    for (size_t i = 0; i < sightings->count; i++) {
        struct sighting *sighting = &sightings->all[i];
        if (kept == 0 || by_id(sighting, &sightings->all[kept - 1]) != 0)
            sightings->all[kept++] = *sighting;
        else if (sighting->hash != sightings->all[kept - 1].hash)
            sightings->all[kept - 1].differs = sighting->read;
    }
    sightings->count = kept;
}

static void collect_sightings(const struct history *history, const uint32_t *operations, size_t count,
                              struct sightings *ret)
{
    *ret = (struct sightings){.is_whole = true};
    for (size_t i = 0; i < count; i++) {
        const struct operation *read = &history->operations[operations[i]];
        if (read->kind != OPERATION_READ || read->outcome != OUTCOME_OK || read->value.is_torn)
            continue;
        see(ret, read);
        for (size_t j = 0; j < count && !ret->of_emptied; j++) {
            const struct operation *append = &history->operations[operations[j]];
            ret->of_emptied = append->kind == OPERATION_APPEND && begins_with(read, append->id);
        }
    }
    sort_sightings(ret);
}

/* ---- setting up ---- */

static uint32_t name_place(struct search *search, uint32_t path)
{
    for (uint32_t i = 0; i < search->name_count; i++)
        if (search->paths[i] == path)
            return i;
    CHECK(search->name_count < NAMES_MAX);
    search->paths[search->name_count] = path;
    return search->name_count++;
}

static struct item *add_item(struct search *search, const struct operation *operation)
{
    struct item *item = &search->items[search->item_count++];
    *item = (struct item){.operation = operation, .saves = NONE, .partner = NONE,
                          .answered = operation->answered,
                          .is_optional = operation->outcome == OUTCOME_UNKNOWN,
                          .from = name_place(search, operation->path)};
    item->to = operation->kind == OPERATION_RENAME ? name_place(search, operation->to) : item->from;
    return item;
}

static bool may_have_emptied(const struct operation *operation)
{
    return operation->kind == OPERATION_SAVE &&
           (operation->outcome == OUTCOME_UNKNOWN ||
            operation->answered - operation->asked >= EMPTIED_AFTER_NS);
}

static void use_sightings(struct item *item, const struct sightings *sightings)
{
    const char *id = item->operation->id;
    struct sighting *sighting = id ? find_sighting(sightings, id) : NULL;
    item->is_unseen = id && !sighting && sightings->is_whole;
    if (!sighting)
        return;
    sighting->was_asked = true;
    item->is_seen = true;
    item->seen_hash = sighting->hash;
    if (item->is_optional)
        item->answered = sighting->answered;
    item->is_optional = false;
}

static void add_emptying(struct search *search, const struct sightings *sightings)
{
    uint32_t save = search->item_count - 1;
    struct item *item = add_item(search, search->items[save].operation);
    item->saves = save;
    item->is_optional = true;
    item->is_unseen = sightings->is_whole && !sightings->of_emptied;
}

static bool says_nothing(const struct operation *operation)
{
    return operation->outcome == OUTCOME_NONE || operation->value.is_torn ||
           (operation->kind == OPERATION_READ && operation->outcome != OUTCOME_OK);
}

/* No order can explain these; so none is searched for. */
static void check_sightings(struct search *search, const struct sightings *sightings)
{
    for (size_t i = 0; i < sightings->count; i++) {
        const struct sighting *sighting = &sightings->all[i];
        if (!sighting->was_asked)
            verdict_wrong(search->verdict, search->history, sighting->read,
                          "a line was read that nobody wrote there, or that was refused");
        if (sighting->differs)
            verdict_wrong(search->verdict, search->history, sighting->differs,
                          "a line was read behind others than those that it was written behind");
        search->is_hopeless |= !sighting->was_asked || sighting->differs;
    }
}

static void add_items(struct search *search, const uint32_t *operations, size_t count)
{
    struct sightings sightings;
    collect_sightings(search->history, operations, count, &sightings);
    search->items = mem_xzalloc((2 * count + 1) * sizeof *search->items);
    for (size_t i = 0; i < count; i++) {
        const struct operation *operation = &search->history->operations[operations[i]];
        if (says_nothing(operation))
            continue;
        struct item *item = add_item(search, operation);
        use_sightings(item, &sightings);
        search->missing += !item->is_optional;
        if (may_have_emptied(operation))
            add_emptying(search, &sightings);
    }
    check_sightings(search, &sightings);
    free(sightings.all);
}

static void pair_fills(struct search *search)
{
    for (uint32_t i = 0; i < search->item_count; i++) {
        const struct operation *operation = search->items[i].operation;
        if (operation->kind != OPERATION_FILL)
            continue;
        const struct operation *create = &search->history->operations[operation->create];
        for (uint32_t j = i; j-- > 0;) {
            if (search->items[j].operation != create)
                continue;
            search->items[i].partner = j;
            search->items[j].partner = i;
            break;
        }
        CHECK(search->items[i].partner != NONE);
    }
}

struct place_in_time {
    int64_t time;
    uint32_t moment;
};

/* At one instant questions stand before answers: then both orders are possible. */
static int by_time(const void *left, const void *right)
{
    const struct place_in_time *a = left, *b = right;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    if (is_question(a->moment) != is_question(b->moment))
        return is_question(a->moment) ? -1 : 1;
    return a->moment < b->moment ? -1 : a->moment > b->moment;
}

static void make_list(struct search *search)
{
    size_t count = 0;
    struct place_in_time *order = mem_xalloc((2 * (size_t)search->item_count + 1) * sizeof *order);
    search->moments = mem_xzalloc((2 * (size_t)search->item_count + 1) * sizeof *search->moments);
    for (uint32_t i = 0; i < search->item_count; i++) {
        const struct item *item = &search->items[i];
        order[count++] = (struct place_in_time){item->operation->asked, 2 * i + 1};
        if (!item->is_optional)
            order[count++] = (struct place_in_time){item->answered, 2 * i + 2};
    }
    qsort(order, count, sizeof *order, by_time);
    uint32_t last = 0;
    for (size_t i = 0; i < count; i++) {
        search->moments[last].next = order[i].moment;
        search->moments[order[i].moment].previous = last;
        last = order[i].moment;
    }
    search->moments[last].next = 0;
    search->moments[0].previous = last;
    free(order);
}

/* ---- the verdict ---- */

static void print_names(const struct search *search, struct buf *ret)
{
    for (uint32_t i = 0; i < search->name_count; i++) {
        const struct name *name = &search->best.names[i];
        buf_append_format(ret, "%s%s ", i ? ", " : "", search->history->paths[search->paths[i]]);
        if (!name->is_there)
            buf_append_format(ret, "is not there");
        else if (!name->count)
            buf_append_format(ret, "is empty");
        else
            buf_append_format(ret, "has %u lines, the last %s", name->count,
                              name->last ? name->last : "?");
    }
}

static void conclude(struct search *search, enum found found)
{
    struct verdict *verdict = search->verdict;
    struct buf text = {0};
    const struct operation *stuck =
        search->best.stuck == NONE ? NULL : search->items[search->best.stuck].operation;
    verdict->groups++;
    verdict->states += search->seen_count;
    if (found == FOUND)
        return;
    verdict->undecided += found == FOUND_TOO_LONG;
    buf_append_format(&text, "%s; all but %u of %u are explained, and then ",
                      found == FOUND_NOT ? "no order explains this answer"
                                         : "the search was given up before it found an order",
                      search->best.missing, search->item_count);
    print_names(search, &text);
    buf_append_u8(&text, 0);
    verdict_wrong(verdict, search->history, stuck, (const char *)text.data);
    verdict->violations -= found == FOUND_TOO_LONG;
    buf_release(&text);
}

void check_search(const struct history *history, const uint32_t *operations, size_t count,
                  uint64_t states_max, struct verdict *verdict)
{
    struct search search = {.history = history, .verdict = verdict};
    add_items(&search, operations, count);
    pair_fills(&search);
    make_list(&search);
    search.frames = mem_xalloc(((size_t)search.item_count + 1) * sizeof *search.frames);
    if (!search.is_hopeless)
        conclude(&search, search_run(&search, states_max));
    free(search.items);
    free(search.moments);
    free(search.frames);
    free(search.choices);
    free(search.marks);
    free(search.seen);
}
