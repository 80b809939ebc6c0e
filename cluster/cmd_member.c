/* concordfs member: who belongs to the cluster, and changing that. */
#include <getopt.h>
#include <stdio.h>

#include "cluster/cmd.h"
#include "cluster/cmd_print.h"

static const char help[] =
    "usage: concordfs member [OPTION..] list\n"
    "       concordfs member [OPTION..] add NAME HOST:PORT\n"
    "       concordfs member [OPTION..] remove [--force] MEMBER\n"
    "       concordfs member [OPTION..] promote MEMBER\n"
    "       concordfs member [OPTION..] transfer MEMBER\n"
    "\n"
    "Lists the members of the cluster, or changes who they are. MEMBER is a name or an id. Any\n"
    "member can be asked; the leader decides, and refuses what would lose the quorum, by what it\n"
    "sees.\n"
    "\n"
    "  list                id, name, address, voter or learner; the leader knows how far each is\n"
    "  add                 keep a place for a host that will join under that name and address\n"
    "  remove              for ever: an id never comes back, and the member says so and stops\n"
    "  promote             a learner votes from now on (one that joins asks for it by itself)\n"
    "  transfer            let that member lead\n"
    "\n"
    "  --force             remove even so: the others may have to wait for voters to come back\n"
    "  --data DIR          the member to ask: its data folder, or a folder of its mount\n"
    "\n"
    "Examples:\n"
    "  concordfs member list\n"
    "  concordfs member remove c\n"
    "\n"
    "Exit status: 0 done, 1 failed or refused, 2 usage, 3 there is no such member.\n";

enum { OPTION_DATA = 256, OPTION_FORCE };

static const struct option options[] = {
    {"data", required_argument, NULL, OPTION_DATA},
    {"force", no_argument, NULL, OPTION_FORCE},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static const struct action {
    const char *name;
    enum socket_member_action action;
    int words;
    const char *done;           /* printed with the word; NULL: what came is printed */
} actions[] = {
    {"list", SOCKET_MEMBER_LIST, 0, NULL},
    {"add", SOCKET_MEMBER_ADD, 2, NULL},
    {"remove", SOCKET_MEMBER_REMOVE, 1, "removed"},
    {"promote", SOCKET_MEMBER_PROMOTE, 1, "promoted"},
    {"transfer", SOCKET_MEMBER_TRANSFER, 1, "leads now:"},
};

static int ask(const char *data, const struct action *action, const struct socket_member *member)
{
    struct client client = {0};
    struct socket_response response;
    struct err err = {0};
    struct socket_request request = {.kind = SOCKET_MEMBER, .member = *member};
    enum err_code code = client_open(&client, data, &err);
    if (code == ERR_OK)
        code = client_call(&client, &request, &response, &err);
    if (code == ERR_OK && action->done)
        printf("%s %s\n", action->done, member->target);
    else if (code == ERR_OK)
        print_bytes(response.status);
    client_close(&client);
    return code == ERR_OK ? cmd_finish("member", CMD_OK) : cmd_fail("member", code, &err);
}

static int take_word(const char *word, char to[SOCKET_WORD_SIZE])
{
    if (strlen(word) >= SOCKET_WORD_SIZE)
        return cmd_usage("member", "a word of more than %d bytes", SOCKET_WORD_SIZE - 1);
    snprintf(to, SOCKET_WORD_SIZE, "%s", word);
    return CMD_OK;
}

static const struct action *action_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

static int run(const char *data, bool force, int count, char **words)
{
    const struct action *action = count ? action_find(words[0]) : NULL;
    struct socket_member member = {.force = force};
    int status = CMD_OK;
    if (!action)
        return count ? cmd_usage("member", "unknown action: \"%s\"", words[0])
                     : cmd_usage("member", "list, add, remove, promote or transfer is missing");
    if (count - 1 != action->words)
        return cmd_usage("member", count - 1 > action->words ? "too many arguments"
                                   : action->words == 2      ? "NAME and HOST:PORT are needed"
                                                             : "MEMBER is missing");
    if (force && action->action != SOCKET_MEMBER_REMOVE)
        return cmd_usage("member", "--force goes with remove");
    member.action = action->action;
    if (action->words > 0)
        status = take_word(words[1], member.target);
    if (status == CMD_OK && action->words > 1)
        status = take_word(words[2], member.address);
    return status == CMD_OK ? ask(data, action, &member) : status;
}

int cmd_member(int argc, char **argv)
{
    const char *data = NULL;
    bool force = false;
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (option) {
        case OPTION_DATA: data = optarg; break;
        case OPTION_FORCE: force = true; break;
        case 'h': fputs(help, stdout); return cmd_finish("member", CMD_OK);
        default: return cmd_bad_option("member", option, argv);
        }
    }
    return run(data, force, argc - optind, argv + optind);
}
