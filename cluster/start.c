#include "cluster/start.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cluster/net_address.h"
#include "cluster/textfile.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/mutant.h"
#include "proto/base/rand.h"

/* ---- files ---- */

static enum err_code read_text(const struct datadir *folder, const char *name, char **ret,
                               struct err *err)
{
    char *path = datadir_path(folder, name);
    struct buf content = {0};
    enum err_code code = textfile_read(folder->disk, name, &content, err);
    if (code == ERR_OK)
        *ret = bytes_to_text(buf_bytes(&content));
    else if (code == ERR_NOT_FOUND)
        code = ERR_OK;
    else if (code == ERR_CORRUPT)
        code = err_set(err, code, "\"%s\" is damaged: remove it, and say the options again", path);
    buf_release(&content);
    free(path);
    return code;
}

static bool stands(const struct datadir *folder, const char *name, const struct buf *text)
{
    struct buf content = {0};
    bool is_same = textfile_read(folder->disk, name, &content, NULL) == ERR_OK &&
                   bytes_equal(buf_bytes(&content), buf_bytes(text));
    buf_release(&content);
    return is_same;
}

/* What stands already needs no room on a disk that may be full, but its name may not be durable yet. */
static enum err_code write_text(const struct datadir *folder, const char *name,
                                const struct buf *text, struct err *err)
{
    if (stands(folder, name, text))
        return disk_sync_folder(folder->disk, "", err);
    return textfile_write(folder->disk, name, buf_bytes(text), err);
}

/* The rest of the line that begins with word and a blank; "": there is none. */
static void take_line(const char *text, const char *word, char *to, size_t size)
{
    size_t word_size = strlen(word);
    to[0] = '\0';
    for (const char *line = text; line && *line;) {
        const char *end = strchr(line, '\n');
        if (strncmp(line, word, word_size) == 0 && line[word_size] == ' ' && end &&
            (size_t)(end - line) - word_size - 1 < size)
            snprintf(to, size, "%.*s", (int)(end - line - (long)word_size - 1),
                     line + word_size + 1);
        line = end ? end + 1 : NULL;
    }
}

static bool has_line(const char *text, const char *wanted)
{
    size_t size = strlen(wanted);
    for (const char *line = text; line && *line;) {
        if (strncmp(line, wanted, size) == 0 && line[size] == '\n')
            return true;
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return false;
}

static enum err_code read_options(struct start *start, const struct datadir *folder,
                                  struct err *err)
{
    char *text = NULL;
    enum err_code code = read_text(folder, "options", &text, err);
    if (text) {
        take_line(text, "listen", start->listen, sizeof start->listen);
        take_line(text, "advertise", start->advertise, sizeof start->advertise);
        start->learner = has_line(text, "learner");
    }
    free(text);
    return code;
}

static enum err_code read_joining(struct start *start, const struct datadir *folder,
                                  bool *ret_found, struct err *err)
{
    char *text = NULL, number[24];
    enum err_code code = read_text(folder, "joining", &text, err);
    *ret_found = text != NULL;
    if (text) {
        take_line(text, "at", start->joining.at, sizeof start->joining.at);
        take_line(text, "name", start->name, sizeof start->name);
        take_line(text, "member", number, sizeof number);
        start->joining.id = strtoull(number, NULL, 16);
        take_line(text, "generation", number, sizeof number);
        start->joining.generation = strtoull(number, NULL, 16);
    }
    free(text);
    return code;
}

void start_draw(struct start *start, struct rand *rand)
{
    if (start->kind != START_JOIN || (start->joining.id && !MUTANT(JOINER_DRAWS_AGAIN)))
        return;
    start->joining.id = rand_u64(rand) >> 1 | 1;
    start->joining.generation = rand_u64(rand) | 2;     /* neither 0 nor MEMBER_RESERVED */
}

enum err_code start_keep(const struct start *start, const struct datadir *folder, struct err *err)
{
    struct buf text = {0};
    buf_append_format(&text, "concordfs options\n");
    if (start->listen[0])
        buf_append_format(&text, "listen %s\nadvertise %s\n", start->listen, start->advertise);
    if (start->learner)
        buf_append_format(&text, "learner\n");
    enum err_code code = write_text(folder, "options", &text, err);
    buf_clear(&text);
    buf_append_format(&text,
                      "concordfs joining\nat %s\nname %s\nmember %016" PRIx64
                      "\ngeneration %016" PRIx64 "\n", start->joining.at, start->name,
                      start->joining.id, start->joining.generation);
    if (code == ERR_OK && start->kind == START_JOIN)
        code = write_text(folder, "joining", &text, err);
    buf_release(&text);
    return code;
}

enum err_code start_joined(const struct datadir *folder, struct err *err)
{
    return textfile_remove(folder->disk, "joining", err);
}

/* ---- addresses ---- */

static enum err_code check_listen(const char *listen, struct err *err)
{
    struct net_address parsed;
    enum err_code code = net_address_parse(listen, &parsed, err);
    if (code == ERR_OK && strlen(listen) >= MEMBER_ADDRESS_SIZE)
        code = err_set(err, ERR_INVALID, "an address of more than %d bytes",
                       MEMBER_ADDRESS_SIZE - 1);
    if (code == ERR_OK && parsed.port == 0)
        code = err_set(err, ERR_INVALID, "port 0 would be another one at each start: \"%s\"",
                       listen);
    return code == ERR_OK ? code : err_wrap(err, code, "--listen");
}

static enum err_code check_advertise(const char *advertise, struct err *err)
{
    enum err_code code = member_address_check(advertise, err);
    return code == ERR_OK ? code : err_wrap(err, code, "--advertise");
}

/* A new --listen without an --advertise is where it is reached from now on, too. */
static enum err_code take_addresses(struct start *start, const struct start_options *options,
                                    struct err *err)
{
    enum err_code code = ERR_OK;
    if (options->listen) {
        code = check_listen(options->listen, err);
        if (code != ERR_OK)
            return code;
        if (strcmp(options->listen, start->listen) != 0)
            start->advertise[0] = '\0';
        snprintf(start->listen, sizeof start->listen, "%s", options->listen);
    }
    if (!start->listen[0])
        return options->advertise
                   ? err_set(err, ERR_INVALID, "--advertise goes with --listen: nobody can be "
                             "reached where nothing listens")
                   : ERR_OK;
    if (options->advertise) {
        code = check_advertise(options->advertise, err);
        if (code == ERR_OK)
            snprintf(start->advertise, sizeof start->advertise, "%s", options->advertise);
        return code;
    }
    if (start->advertise[0])
        return ERR_OK;
    if (member_address_is_wildcard(start->listen))
        return err_set(err, ERR_INVALID,
                       "\"%s\" is every address of this host: say with --advertise HOST:PORT where "
                       "the others connect to", start->listen);
    snprintf(start->advertise, sizeof start->advertise, "%s", start->listen);
    return ERR_OK;
}

/* ---- names ---- */

/* Of a member that is alone any line will do. */
static void take_free_name(struct start *start, const char *name)
{
    if (name)
        snprintf(start->name, sizeof start->name, "%s", name);
    else if (gethostname(start->name, sizeof start->name - 1) != 0)
        snprintf(start->name, sizeof start->name, "member");
    for (char *at = start->name; *at; at++)
        if (*at == '\n')
            *at = ' ';
}

static enum err_code take_name(struct start *start, const struct start_options *options,
                               struct err *err)
{
    if (options->name && strlen(options->name) >= sizeof start->name)
        return member_name_check(options->name, err);
    take_free_name(start, options->name);
    enum err_code code = member_name_check(start->name, err);
    return code == ERR_OK || options->name ? code
                                           : err_wrap(err, code, "--name is needed: the host's is");
}

/* ---- first starts ---- */

static enum err_code decide_form(struct start *start, const struct start_options *options,
                                 struct err *err)
{
    enum err_code code = first_members_parse(options->cluster, &start->first, err);
    if (code != ERR_OK)
        return err_wrap(err, code, "--cluster");
    code = take_name(start, options, err);
    if (code != ERR_OK)
        return code;
    const struct membership_member *self = first_members_find(&start->first, start->name);
    if (!self)
        return err_set(err, ERR_INVALID, "this member is \"%s\" and --cluster has none of that "
                       "name: choose one of its names with --name", start->name);
    if (options->advertise && strcmp(options->advertise, self->address) != 0)
        return err_set(err, ERR_INVALID, "--advertise \"%s\" is not the address of \"%s\" in "
                       "--cluster, which is \"%s\"", options->advertise, self->name, self->address);
    struct start_options with = *options;
    with.listen = options->listen ? options->listen : self->address;
    with.advertise = self->address;
    /* A list of one has nobody who could tell that its folder was emptied: what begins is another cluster. */
    start->kind = start->first.count > 1 ? START_FORM : START_ALONE;
    return take_addresses(start, &with, err);
}

static enum err_code decide_join(struct start *start, const struct start_options *options,
                                 bool is_retry, struct err *err)
{
    if (options->join) {
        enum err_code code = member_address_check(options->join, err);
        if (code != ERR_OK)
            return err_wrap(err, code, "--join");
        snprintf(start->joining.at, sizeof start->joining.at, "%s", options->join);
    }
    if (!options->listen && !start->listen[0])
        return err_set(err, ERR_INVALID, "--join goes with --listen HOST:PORT: the other members "
                       "connect to this one there");
    enum err_code code = take_addresses(start, options, err);
    if (code == ERR_OK && (!is_retry || options->name))
        code = take_name(start, options, err);
    start->learner |= options->learner;
    start->kind = START_JOIN;
    return code;
}

static enum err_code decide_first(struct start *start, const struct start_options *options,
                                  const struct datadir *folder, struct err *err)
{
    bool is_retry;
    enum err_code code = read_joining(start, folder, &is_retry, err);
    if (code != ERR_OK)
        return code;
    if (options->cluster && options->join)
        return err_set(err, ERR_INVALID, "--cluster begins a cluster and --join enters one that "
                       "is there: one of them, not both");
    if (options->cluster && is_retry)
        return err_set(err, ERR_INVALID,
                       "\"%s\" began to join the cluster of \"%s\": empty it first", folder->path,
                       start->joining.at);
    if (options->join || is_retry)
        return decide_join(start, options, is_retry, err);
    if (options->learner)
        return err_set(err, ERR_INVALID, "--learner goes with --join");
    if (options->cluster)
        return decide_form(start, options, err);
    start->kind = START_ALONE;
    take_free_name(start, options->name);
    return take_addresses(start, options, err);
}

/* ---- later starts ---- */

/* Ids follow from lists of several alone. */
static bool is_of_another(const struct first_members *first, const struct identity *identity)
{
    return first->count > 1 ? first->cluster_id != identity->cluster_id
                            : !first_members_find(first, identity->name);
}

static enum err_code decide_again(struct start *start, const struct start_options *options,
                                  const struct datadir *folder, struct err *err)
{
    const struct identity *identity = &folder->identity;
    enum err_code code = ERR_OK;
    start->kind = START_AGAIN;
    snprintf(start->name, sizeof start->name, "%s", identity->name);
    if (options->cluster)
        code = first_members_parse(options->cluster, &start->first, err);
    if (code != ERR_OK)
        return err_wrap(err, code, "--cluster");
    if (options->cluster && is_of_another(&start->first, identity))
        return err_set(err, ERR_INVALID,
                       "\"%s\" is a member of cluster %016" PRIx64 ", and --cluster names another "
                       "one, %016" PRIx64, folder->path, identity->cluster_id,
                       start->first.cluster_id);
    if ((options->cluster || options->join) && options->name &&
        strcmp(options->name, identity->name) != 0)
        return err_set(err, ERR_INVALID, "\"%s\" is the folder of member \"%s\", not of \"%s\"",
                       folder->path, identity->name, options->name);
    return take_addresses(start, options, err);
}

enum err_code start_decide(struct start *ret, const struct start_options *options,
                           const struct datadir *folder, struct err *err)
{
    struct start *start = mem_xzalloc(sizeof *start);
    enum err_code code = read_options(start, folder, err);
    if (code == ERR_OK)
        code = folder->has_identity ? decide_again(start, options, folder, err)
                                    : decide_first(start, options, folder, err);
    if (code == ERR_OK)
        *ret = *start;
    free(start);
    return code;
}
