#include "cluster/generations.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/textfile.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

#define FILE_NAME "generations"
#define TITLE "concordfs generations\n"
#define LINE_SIZE_MAX 48        /* "member ", 16 digits, a blank, 16 digits, "\n" */

static_assert(sizeof TITLE + 16 + GENERATIONS_MAX * LINE_SIZE_MAX < TEXTFILE_SIZE_MAX, "it fits");

/* ---- the text ---- */

void generations_format(const struct generations *generations, struct buf *ret)
{
    buf_append_format(ret, TITLE "formed %s\n", generations->formed ? "yes" : "no");
    for (size_t i = 0; i < generations->count; i++)
        buf_append_format(ret, "member %016" PRIx64 " %016" PRIx64 "\n",
                          generations->members[i].id, generations->members[i].generation);
}

static bool take_word(const char **at, const char *word)
{
    size_t size = strlen(word);
    if (strncmp(*at, word, size) != 0)
        return false;
    *at += size;
    return true;
}

static bool take_number(const char **at, uint64_t *ret)
{
    char digits[17] = "";
    size_t size = strspn(*at, "0123456789abcdef");
    if (size != 16)
        return false;
    memcpy(digits, *at, size);
    *ret = strtoull(digits, NULL, 16);
    *at += size;
    return true;
}

static bool take_member(const char **at, struct generations *ret)
{
    struct generation member;
    raft_id last = ret->count ? ret->members[ret->count - 1].id : 0;
    if (ret->count == GENERATIONS_MAX || !take_word(at, "member ") ||
        !take_number(at, &member.id) || !take_word(at, " ") ||
        !take_number(at, &member.generation) || !take_word(at, "\n") || member.id <= last ||
        member.generation == 0)
        return false;
    ret->members[ret->count++] = member;
    return true;
}

enum err_code generations_parse(struct bytes text, struct generations *ret, struct err *err)
{
    struct generations *parsed = mem_xzalloc(sizeof *parsed);
    char *whole = bytes_to_text(text);
    const char *at = whole;
    bool good = take_word(&at, TITLE);
    if (good && take_word(&at, "formed yes\n"))
        parsed->formed = true;
    else
        good = good && take_word(&at, "formed no\n");
    while (good && *at)
        good = take_member(&at, parsed);
    good = good && at == whole + text.size;
    if (good)
        *ret = *parsed;
    free(whole);
    free(parsed);
    return good ? ERR_OK : err_set(err, ERR_CORRUPT, "not a table of generations");
}

/* ---- the file ---- */

static enum err_code keep(const struct generations *generations, struct err *err)
{
    if (!generations->disk)
        return ERR_OK;
    struct buf text = {0};
    generations_format(generations, &text);
    enum err_code code = textfile_write(generations->disk, FILE_NAME, buf_bytes(&text), err);
    buf_release(&text);
    return code;
}

enum err_code generations_open(struct generations *generations, struct disk *disk, struct err *err)
{
    struct buf text = {0};
    *generations = (struct generations){.formed = true};
    enum err_code code = textfile_read(disk, FILE_NAME, &text, err);
    if (code == ERR_OK)
        code = generations_parse(buf_bytes(&text), generations, err);
    else if (code == ERR_NOT_FOUND)
        code = ERR_OK;
    buf_release(&text);
    if (code != ERR_OK)
        generations_clear(generations);
    if (code == ERR_CORRUPT)
        return err_set(err, code,
                       "\"" FILE_NAME "\" of the data folder is damaged, and says which data folder each "
                       "member has: restore the file from a copy, or remove this member and join with "
                       "an empty data folder");
    if (code == ERR_OK)
        generations->disk = disk;
    return code;
}

enum err_code generations_begin(struct generations *generations, struct disk *disk, struct err *err)
{
    *generations = (struct generations){.disk = disk};
    enum err_code code = keep(generations, err);
    if (code != ERR_OK)
        generations_clear(generations);
    return code;
}

void generations_clear(struct generations *generations)
{
    *generations = (struct generations){0};
}

/* ---- who has which ---- */

static size_t place_of(const struct generations *generations, raft_id id)
{
    size_t place = 0;
    while (place < generations->count && generations->members[place].id < id)
        place++;
    return place;
}

static bool is_at(const struct generations *generations, size_t place, raft_id id)
{
    return place < generations->count && generations->members[place].id == id;
}

uint64_t generations_get(const struct generations *generations, raft_id id)
{
    size_t place = place_of(generations, id);
    return is_at(generations, place, id) ? generations->members[place].generation : 0;
}

void generations_forget(struct generations *generations, raft_id id)
{
    size_t place = place_of(generations, id);
    if (!is_at(generations, place, id))
        return;
    generations->count--;
    memmove(&generations->members[place], &generations->members[place + 1],
            (generations->count - place) * sizeof generations->members[0]);
}

enum err_code generations_meet(struct generations *generations, raft_id id, uint64_t generation,
                               struct err *err)
{
    size_t place = place_of(generations, id);
    if (id == 0 || generation == 0)
        return err_set(err, ERR_INVALID, "a hello without a generation");
    if (is_at(generations, place, id))
        return generations->members[place].generation == generation
                   ? ERR_OK
                   : err_set(err, ERR_EXISTS, "another generation is known");
    if (generations->count == GENERATIONS_MAX)
        return err_set(err, ERR_BUSY, "more than %zu data folders are known", GENERATIONS_MAX);
    memmove(&generations->members[place + 1], &generations->members[place],
            (generations->count - place) * sizeof generations->members[0]);
    generations->members[place] = (struct generation){id, generation};
    generations->count++;
    enum err_code code = keep(generations, err);
    if (code != ERR_OK)
        generations_forget(generations, id);
    return code;
}

enum err_code generations_form(struct generations *generations, struct err *err)
{
    CHECK(!generations->formed);
    generations->formed = true;
    enum err_code code = keep(generations, err);
    if (code != ERR_OK)
        generations->formed = false;
    return code;
}
