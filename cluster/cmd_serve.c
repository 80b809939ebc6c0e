/* concordfs serve: a member without a mount. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cluster/daemon.h"
#include "cluster/loop_uv.h"
#include "proto/base/mem.h"

static const char help[] =
    "usage: concordfs serve [-f] [OPTION..]\n"
    "\n"
    "Runs a member without a mount: it votes, keeps and answers commands.\n"
    "\n"
    "  -f, --foreground       stay in the foreground, say things on standard error\n"
    "  -d, --data DATA        where the member keeps its data\n"
    DAEMON_OPTIONS_HELP
    "\n"
    "Examples:\n"
    "  concordfs serve --name a --listen 10.0.0.1:2380 \\\n"
    "      --cluster a=10.0.0.1:2380,b=10.0.0.2:2380,c=10.0.0.3:2380\n"
    "  concordfs serve --name d --listen 10.0.0.4:2380 --join 10.0.0.1:2380\n"
    "  concordfs serve\n"
    "\n"
    "Exit status: 0 stopped, or it serves in the background, 1 failed, 2 usage, 4 removed.\n";

struct serve {
    struct daemon daemon;
    struct member_options options;
    struct member *member;
    struct kv_request first;    /* tells that it serves */
    bool stopping;
};

static void say(void *context, const char *line)
{
    daemon_say(&((struct serve *)context)->daemon, line);
}

static void progress(void *context, const char *line)
{
    daemon_progress(&((struct serve *)context)->daemon, line);
}

static void stop(struct serve *serve)
{
    serve->stopping = true;
    member_stop(serve->member);
}

static void on_signal(void *context, int number)
{
    (void)number;
    stop(context);
}

static void on_asked_to_stop(void *context) { stop(context); }

static void on_first_answer(struct kv_request *request, enum err_code code)
{
    struct serve *serve = container_of(request, struct serve, first);
    if (code == ERR_CLOSING)
        return;                                         /* it ends before it ever served */
    if (code != ERR_OK && member_is_behind(serve->member) && !serve->stopping) {
        kv_submit(member_kv(serve->member), request);   /* its state is still arriving */
        return;
    }
    char *line = mem_xformat("serving, data in \"%s\"%s", serve->daemon.data_path,
                             code == ERR_OK ? "" : " (without a quorum yet)");
    say(serve, line);
    free(line);
    daemon_tell(&serve->daemon, CMD_OK, NULL);
}

static enum err_code run_member(struct serve *serve, struct err *err)
{
    enum err_code code = member_open(&serve->member, &serve->options, err);
    if (code != ERR_OK)
        return code;
    member_on_signal(serve->member, SIGTERM, on_signal, serve);
    member_on_signal(serve->member, SIGINT, on_signal, serve);
    member_set_asked_to_stop(serve->member, on_asked_to_stop, serve);
    serve->first = (struct kv_request){.kind = KV_CURRENT, .done = on_first_answer};
    kv_submit(member_kv(serve->member), &serve->first);
    code = member_run(serve->member, err);
    kv_request_release(&serve->first);
    struct err close_err = {0};
    enum err_code close_code = member_close(serve->member, &close_err);
    if (code == ERR_OK && close_code != ERR_OK) {
        *err = close_err;
        code = close_code;
    }
    return code;
}

static int run(void *context)
{
    struct serve *serve = context;
    struct err err = {0};
    umask(0);
    enum err_code code = run_member(serve, &err);
    if (code != ERR_OK) {
        say(serve, err.text);
        daemon_tell(&serve->daemon, daemon_exit(code), err.text);
    }
    daemon_tell(&serve->daemon, daemon_exit(code), NULL);
    return daemon_exit(code);
}

static const struct option options[] = {
    {"foreground", no_argument, NULL, 'f'}, {"data", required_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},       DAEMON_LONG_OPTIONS, {0},
};

static int start(struct serve *serve, const char *data)
{
    struct err err = {0};
    char *path = data ? daemon_absolute_path(data) : datadir_default();
    enum err_code code =
        path ? daemon_try_folder(path, &serve->options.start, &err)
             : err_set(&err, ERR_INVALID, "no data folder is named, and there is no $HOME");
    int status = CMD_OK;
    if (code != ERR_OK) {
        status = cmd_fail("serve", code, &err);
    } else {
        serve->options.data_path = serve->daemon.data_path = path;
        status = daemon_run(&serve->daemon, run, serve);
    }
    free(path);
    return status;
}

int cmd_serve(int argc, char **argv)
{
    struct serve serve = {.daemon = {.command = "serve"},
                          .options = {.socket = true, .log = say, .progress = progress}};
    const char *data = NULL;
    int option;
    serve.options.log_context = &serve;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":fd:h", options, NULL)) != -1) {
        if (daemon_take_option(option, optarg, &serve.options.start))
            continue;
        switch (option) {
        case 'f': serve.daemon.foreground = true; break;
        case 'd': data = optarg; break;
        case 'h': fputs(help, stdout); return cmd_finish("serve", CMD_OK);
        default: return cmd_bad_option("serve", option, argv);
        }
    }
    if (argc > optind)
        return cmd_usage("serve", "too many arguments");
    return start(&serve, data);
}
