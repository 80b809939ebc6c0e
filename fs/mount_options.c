#include "fs/mount_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

enum kind { FLAG, SWITCH, TEXT, NUMBER, OCTAL, DURATION, SIZE, CHOICE, PASSED_OVER };

/* One option: what it is called, and where it goes. A FLAG writes value; a SWITCH may say "on" or "off", and
 * is on without either; a CHOICE lists the words of its
 * enum, separated by '|'. */
struct option {
    const char *name;
    enum kind kind;
    size_t offset;
    int value;
    const char *words;
};

#define AT(member) offsetof(struct mount_options, member)

static const struct option options_table[] = {
    {"prefix", TEXT, AT(fs.prefix), 0, NULL},
    {"timeo", DURATION, AT(fs.timeo_ms), 0, NULL},
    {"reads", CHOICE, AT(fs.reads), 0, "strict|local"},
    {"locks", CHOICE, AT(fs.locks), 0, "cluster|local"},
    {"uid", NUMBER, AT(fs.uid), 0, NULL},
    {"gid", NUMBER, AT(fs.gid), 0, NULL},
    {"fmask", OCTAL, AT(fs.fmask), 0, NULL},
    {"dmask", OCTAL, AT(fs.dmask), 0, NULL},
    {"max_file_size", SIZE, AT(fs.file_size_max), 0, NULL},
    {"data", TEXT, AT(data_path), 0, NULL},
    {"name", TEXT, AT(member_name), 0, NULL},
    {"listen", TEXT, AT(listen), 0, NULL},
    {"advertise", TEXT, AT(advertise), 0, NULL},
    {"join", TEXT, AT(join), 0, NULL},
    {"learner", FLAG, AT(learner), 1, NULL},
    {"ro", FLAG, AT(fs.read_only), 1, NULL},
    {"rw", FLAG, AT(fs.read_only), 0, NULL},
    {"inotify", SWITCH, AT(fs.inotify), 0, NULL},
    {"noinotify", FLAG, AT(fs.inotify), 0, NULL},
    {"allow_other", FLAG, AT(allow_other), 1, NULL},
    {"noallow_other", FLAG, AT(allow_other), 0, NULL},
    {"dev_suid", FLAG, AT(allow_dev_suid), 1, NULL},
    {"debug", FLAG, AT(debug), 1, NULL},
    /* fstab's and mount's own words */
    {"defaults", PASSED_OVER, 0, 0, NULL},
    {"auto", PASSED_OVER, 0, 0, NULL},
    {"noauto", PASSED_OVER, 0, 0, NULL},
    {"nofail", PASSED_OVER, 0, 0, NULL},
    {"_netdev", PASSED_OVER, 0, 0, NULL},
    {"user", PASSED_OVER, 0, 0, NULL},
    {"users", PASSED_OVER, 0, 0, NULL},
    {"nosuid", PASSED_OVER, 0, 0, NULL},
    {"nodev", PASSED_OVER, 0, 0, NULL},
    {"noatime", PASSED_OVER, 0, 0, NULL},
    {"default_permissions", PASSED_OVER, 0, 0, NULL},
};

void mount_options_init(struct mount_options *options, uid_t uid, gid_t gid, bool is_root)
{
    memset(options, 0, sizeof(*options));
    options->fs = (struct fs_options){
        .prefix = "/", .snapshot_name = LAYOUT_SNAPSHOT, .timeo_ms = TIMEO_DEFAULT_MS,
        .inotify = true, .uid = uid, .gid = gid, .fmask = 022, .dmask = 022};
    options->allow_other = is_root;
}

void mount_options_release(struct mount_options *options)
{
    while (options->text_count)
        free(options->texts[--options->text_count]);
    free(options->texts);
    options->texts = NULL;
}

/* ---- values ---- */

static bool parse_number(const char *text, int base, uint64_t max, char **ret_rest, uint64_t *ret)
{
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret = strtoull(text, ret_rest, base);
    return errno == 0 && *ret <= max;
}

/* "5", "5s", "500ms". */
static bool parse_duration(const char *text, int64_t *ret_ms)
{
    char *rest;
    uint64_t number;
    if (!parse_number(text, 10, 86400000, &rest, &number) || number == 0)
        return false;
    bool is_ms = strcmp(rest, "ms") == 0;
    if (!is_ms && *rest && strcmp(rest, "s") != 0)
        return false;
    *ret_ms = (int64_t)number * (is_ms ? 1 : 1000);
    return *ret_ms <= 86400000;
}

/* "4096", "512k", "1M". */
static bool parse_size(const char *text, uint64_t *ret)
{
    char *rest;
    if (!parse_number(text, 10, UINT32_MAX, &rest, ret) || *ret == 0)
        return false;
    if (*rest == 'k' || *rest == 'K')
        *ret *= KIB;
    else if (*rest == 'm' || *rest == 'M')
        *ret *= MIB;
    else
        return *rest == 0;
    return rest[1] == 0;
}

static bool parse_choice(const char *text, const char *words, void *to)
{
    size_t size = strlen(text);
    if (size == 0 || strchr(text, '|'))
        return false;
    for (int value = 0; words; value++) {
        if (strncmp(words, text, size) == 0 && (words[size] == '|' || words[size] == 0)) {
            memcpy(to, &(unsigned){(unsigned)value}, sizeof(unsigned));
            return true;
        }
        words = strchr(words, '|');
        words = words ? words + 1 : NULL;
    }
    return false;
}
static_assert(sizeof(enum fs_reads) == sizeof(unsigned) && sizeof(enum fs_locks) == sizeof(unsigned),
              "a choice is written as an unsigned");
static_assert(sizeof(uid_t) == 4 && sizeof(gid_t) == 4 && sizeof(mode_t) == 4, "numbers have 32 bits");

static bool take_u32(const char *text, int base, uint64_t max, void *to)
{
    char *rest;
    uint64_t number;
    if (!parse_number(text, base, max, &rest, &number) || *rest)
        return false;
    memcpy(to, &(uint32_t){(uint32_t)number}, sizeof(uint32_t));
    return true;
}

static bool take_value(const struct option *option, const char *value, void *to)
{
    if (option->kind == FLAG) {
        *(bool *)to = option->value;
        return !value;
    }
    if (option->kind == SWITCH) {
        *(bool *)to = !value || strcmp(value, "off") != 0;
        return !value || strcmp(value, "on") == 0 || strcmp(value, "off") == 0;
    }
    if (option->kind == PASSED_OVER)
        return true;
    if (!value)
        return false;
    switch (option->kind) {
    case TEXT: *(const char **)to = value; return true;
    case NUMBER: return take_u32(value, 10, UINT32_MAX - 1, to);
    case OCTAL: return take_u32(value, 8, 0777, to);
    case DURATION: return parse_duration(value, to);
    case SIZE: return parse_size(value, to);
    case CHOICE: return parse_choice(value, option->words, to);
    default: return false;
    }
}

/* ---- the text ---- */

static const struct option *option_find(const char *name, size_t size)
{
    for (size_t i = 0; i < ARRAY_COUNT(options_table); i++)
        if (strlen(options_table[i].name) == size && !memcmp(options_table[i].name, name, size))
            return &options_table[i];
    return NULL;
}

static enum err_code take_word(struct mount_options *options, char *word, struct err *err)
{
    char *equals = strchr(word, '=');
    size_t size = equals ? (size_t)(equals - word) : strlen(word);
    if (strncmp(word, "x-", 2) == 0 || size == 0)
        return ERR_OK;                          /* another program's, such as x-systemd.automount */
    const struct option *option = option_find(word, size);
    if (!option)
        return err_set(err, ERR_INVALID, "unknown mount option: \"%s\"", word);
    if (!take_value(option, equals ? equals + 1 : NULL, (char *)options + option->offset))
        return err_set(err, ERR_INVALID, "bad value of a mount option: \"%s\"", word);
    return ERR_OK;
}

enum err_code mount_options_parse(struct mount_options *options, const char *text, struct err *err)
{
    char *word = mem_xstrdup(text);
    size_t count = options->text_count + 1;
    options->texts = mem_xrealloc(options->texts, count * sizeof(*options->texts));
    options->texts[options->text_count++] = word;
    while (word) {
        char *comma = strchr(word, ',');
        if (comma)
            *comma = 0;
        enum err_code code = take_word(options, word, err);
        if (code != ERR_OK)
            return code;
        word = comma ? comma + 1 : NULL;
    }
    return ERR_OK;
}
