/* concordfs mount, concordfs umount: a member and a filesystem over it in one process. */
#include "fs/cmd_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cluster/cmd.h"
#include "cluster/daemon.h"
#include "cluster/datadir.h"
#include "cluster/loop_uv.h"
#include "fs/fs.h"
#include "fs/mount_note.h"
#include "fs/mount_options.h"
#include "fs/mountpoint.h"
#include "fs/notify.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/status.h"

#define STOP_LOOK_MS 5          /* how often a stopping mount looks whether it is idle */
#define STOP_WAIT_MS 8000       /* longer than any request may wait for a quorum by default */
#define UMOUNT_WAIT_MS 10000    /* how long umount waits for the member's folder to be free */

struct mount {
    struct mount_options options;
    struct daemon daemon;
    struct start_options start;
    char *mountpoint, *data_path;

    struct member *member;
    struct fs *fs;
    struct kernel *kernel;
    struct fs_loop loop;
    struct member_poll poll;
    struct member_alarm alarm, stop_alarm;
    struct kv_request first;    /* tells that the mount serves */
    bool polling, stopping;
    int64_t stop_by_ms;
};

/* ---- what is said ---- */

static void say(void *context, const char *line)
{
    daemon_say(&((struct mount *)context)->daemon, line);
}

static void progress(void *context, const char *line)
{
    daemon_progress(&((struct mount *)context)->daemon, line);
}

/* ---- the loop of a mount ---- */

static void mount_stop(struct mount *mount);

static void on_alarm(struct member_alarm *alarm)
{
    fs_on_alarm(container_of(alarm, struct mount, alarm)->fs);
}

static void set_alarm(struct fs_loop *loop, int64_t delay_ms)
{
    struct mount *mount = container_of(loop, struct mount, loop);
    member_alarm_set(mount->member, &mount->alarm, delay_ms);
}

static void stop_polling(struct mount *mount)
{
    if (mount->polling)
        member_poll_stop(mount->member, &mount->poll);
    mount->polling = false;
}

static void on_readable(struct member_poll *poll)
{
    struct mount *mount = container_of(poll, struct mount, poll);
    if (!kernel_readable(mount->kernel))
        mount_stop(mount);                      /* unmounted from outside */
}

static void on_signal(void *context, int number)
{
    (void)number;
    mount_stop(context);
}

/* The notifier is done on its own thread; who waits for it lives on the loop's. */
struct settling {
    struct member *member;
    void (*settled)(void *argument);
    void *argument;
};

static void on_settled(void *context)
{
    struct settling *settling = context;
    member_post(settling->member, settling->settled, settling->argument);
    free(settling);
}

static void on_asked_to_stop(void *context) { mount_stop(context); }

static void settle(void *context, void (*settled)(void *argument), void *argument)
{
    const struct mount *mount = context;
    if (mount->stopping) {
        settled(argument);
        return;
    }
    struct settling *settling = mem_xalloc(sizeof(*settling));
    *settling = (struct settling){mount->member, settled, argument};
    notify_settle(mount->fs, on_settled, settling);
}

/* ---- stopping: no new request, save what is staged, unmount, then the member ---- */

static void on_stop_alarm(struct member_alarm *alarm)
{
    struct mount *mount = container_of(alarm, struct mount, stop_alarm);
    if (!fs_is_idle(mount->fs) && fs_now_ms() < mount->stop_by_ms) {
        member_alarm_set(mount->member, alarm, STOP_LOOK_MS);
        return;
    }
    kernel_unmount(mount->kernel);
    member_stop(mount->member);
}

static void mount_stop(struct mount *mount)
{
    if (mount->stopping)
        return;
    mount->stopping = true;
    mount->stop_by_ms = fs_now_ms() + STOP_WAIT_MS;
    stop_polling(mount);
    fs_stop(mount->fs);
    member_alarm_set(mount->member, &mount->stop_alarm, 0);
}

/* ---- starting ---- */

static void on_first_answer(struct kv_request *request, enum err_code code)
{
    struct mount *mount = container_of(request, struct mount, first);
    if (code == ERR_CLOSING)
        return;                                         /* it ends before it ever served */
    if (code != ERR_OK && member_is_behind(mount->member) && !mount->stopping) {
        kv_submit(member_kv(mount->member), request);   /* its state is still arriving */
        return;
    }
    char *line = mem_xformat("serving \"%s\", data in \"%s\"%s", mount->mountpoint, mount->data_path,
                             code == ERR_OK ? "" : " (without a quorum yet)");
    say(mount, line);
    free(line);
    daemon_tell(&mount->daemon, CMD_OK, NULL);
}

static enum err_code open_kernel(struct mount *mount, struct err *err)
{
    const struct mount_options *options = &mount->options;
    char *fsname = mem_xformat("concordfs:%s", options->fs.prefix);
    struct kernel_options kernel_options = {
        .mountpoint = mount->mountpoint, .fsname = fsname, .allow_other = options->allow_other,
        /* what is replayed for watchers passes the kernel; the filesystem refuses everybody else */
        .read_only = options->fs.read_only && !options->fs.inotify, .allow_dev_suid = options->allow_dev_suid,
        .readdirplus = options->fs.reads == FS_READS_LOCAL || fs_status(mount->fs)->alone,
        .cache_symlinks = options->fs.read_only, .debug = options->debug};
    enum err_code code = kernel_open(&mount->kernel, &kernel_options, mount->fs, err);
    free(fsname);
    struct err unnoted;
    if (code == ERR_OK && mount_note_write(mount->data_path, mount->mountpoint, &unnoted) != ERR_OK)
        say(mount, unnoted.text);
    return code == ERR_OK ? fs_attach(mount->fs, mount->kernel, err) : code;
}

static enum err_code open_all(struct mount *mount, struct err *err)
{
    struct member_options member_options = {
        .data_path = mount->data_path, .start = mount->start,
        .timeo_ms = mount->options.fs.timeo_ms, .socket = true, .log = say,
        .progress = progress, .log_context = mount};
    enum err_code code = member_open(&mount->member, &member_options, err);
    if (code != ERR_OK)
        return code;
    mount->alarm.fire = on_alarm;
    mount->stop_alarm.fire = on_stop_alarm;
    mount->loop.set_alarm = set_alarm;
    mount->options.fs.mountpoint = mount->mountpoint;
    mount->options.fs.data_path = mount->data_path;
    code = fs_open(&mount->fs, &mount->options.fs, member_kv(mount->member), &mount->loop, NULL, err);
    return code == ERR_OK ? open_kernel(mount, err) : code;
}

static void close_all(struct mount *mount, enum err_code ended)
{
    struct err err = {0};
    stop_polling(mount);
    kv_request_release(&mount->first);
    if (mount->member && mount->fs) {
        member_alarm_stop(mount->member, &mount->alarm);
        member_alarm_stop(mount->member, &mount->stop_alarm);
    }
    if (mount->kernel)
        kernel_unmount(mount->kernel);
    if (mount->fs && fs_is_idle(mount->fs))     /* else the process takes it along */
        fs_close(mount->fs);
    kernel_close(mount->kernel);
    if (mount->member && member_close(mount->member, &err) != ERR_OK && ended == ERR_OK)
        say(mount, err.text);
}

static enum err_code serve(struct mount *mount, struct err *err)
{
    mount->poll = (struct member_poll){.fd = kernel_fd(mount->kernel), .readable = on_readable};
    mount->polling = true;
    member_poll_start(mount->member, &mount->poll);
    member_on_signal(mount->member, SIGTERM, on_signal, mount);
    member_on_signal(mount->member, SIGINT, on_signal, mount);
    member_set_settle(mount->member, settle, mount);
    member_set_asked_to_stop(mount->member, on_asked_to_stop, mount);
    mount->first = (struct kv_request){.kind = KV_CURRENT, .done = on_first_answer};
    kv_submit(member_kv(mount->member), &mount->first);
    enum err_code code = member_run(mount->member, err);
    if (!mount->stopping) {                     /* the member ended by itself: nothing can be saved */
        stop_polling(mount);
        mount->stopping = true;
        fs_abandon(mount->fs);
    }
    return code;
}

static int run(void *context)
{
    struct mount *mount = context;
    struct err err = {0};
    umask(0);
    enum err_code code = open_all(mount, &err);
    if (code == ERR_OK)
        code = serve(mount, &err);
    if (code != ERR_OK)
        say(mount, err.text);
    daemon_tell(&mount->daemon, daemon_exit(code), code != ERR_OK ? err.text : NULL);
    close_all(mount, code);
    return daemon_exit(code);
}

/* ---- the command line ---- */

static void mount_help(void)
{
    printf("usage: concordfs mount [-f] [-o OPTION,...] [--data DATA] [OPTION..] DIR\n\n"
           "Mounts the cluster's files on DIR; a new data folder becomes a cluster of one, or\n"
           "what --cluster or --join say.\n\n"
           "  -f, --foreground   stay in the foreground, say things on standard error\n"
           "  -o OPTION,...      prefix=KEY/ timeo=5s reads=strict|local locks=cluster|local ro\n"
           "                     uid=N gid=N fmask=022 dmask=022 max_file_size=1M allow_other\n"
           "                     noallow_other inotify=on|off data=DATA name=NAME\n"
           "                     listen=H:P advertise=H:P join=H:P learner\n"
           "  -d, --data DATA    where the member keeps its data\n"
           DAEMON_OPTIONS_HELP "\n"
           "  concordfs mount ~/cfg\n"
           "  concordfs mount -o prefix=/app/ --data /srv/concordfs /etc/app\n"
           "  concordfs mount --name b --listen 10.0.0.2:2380 --join 10.0.0.1:2380 /cfg\n");
}

static const struct option long_options[] = {
    {"foreground", no_argument, NULL, 'f'}, {"data", required_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},       DAEMON_LONG_OPTIONS,
    {NULL, 0, NULL, 0},
};

/* What -o said of the member; an option of its own goes before it. */
static void take_member_options(const struct mount_options *from, struct start_options *to)
{
    to->name = to->name ? to->name : from->member_name;
    to->listen = to->listen ? to->listen : from->listen;
    to->advertise = to->advertise ? to->advertise : from->advertise;
    to->join = to->join ? to->join : from->join;
    to->learner |= from->learner;
}

static int parse(struct mount *mount, int argc, char **argv, bool *ret_done)
{
    struct err err;
    optind = 1;
    *ret_done = true;
    for (int option; (option = getopt_long(argc, argv, "fo:d:h", long_options, NULL)) != -1;) {
        if (daemon_take_option(option, optarg, &mount->start))
            continue;
        switch (option) {
        case 'f': mount->daemon.foreground = true; break;
        case 'd': mount->options.data_path = optarg; break;
        case 'o':
            if (mount_options_parse(&mount->options, optarg, &err) != ERR_OK)
                return cmd_usage("mount", "%s", err.text);
            break;
        case 'h': mount_help(); return cmd_finish("mount", CMD_OK);
        default: return cmd_usage("mount", "unknown or incomplete option");
        }
    }
    if (argc - optind != 1)
        return cmd_usage("mount", "one DIR is needed");
    take_member_options(&mount->options, &mount->start);
    *ret_done = false;
    return CMD_OK;
}

static enum err_code choose_paths(struct mount *mount, const char *directory, struct err *err)
{
    mount->data_path = mount->options.data_path ? daemon_absolute_path(mount->options.data_path)
                                                : datadir_default();
    if (!mount->data_path)
        return err_set(err, ERR_INVALID, "no data folder is named, and there is no $HOME");
    enum err_code code = mount_note_let_go(mount->data_path, err);
    if (code == ERR_OK)
        code = mountpoint_prepare(directory, &mount->mountpoint, err);
    if (code == ERR_OK && mountpoint_holds(mount->mountpoint, mount->data_path))
        code = err_set(err, ERR_INVALID, "the data folder \"%s\" lies in its own mount \"%s\"",
                       mount->data_path, mount->mountpoint);
    return code;
}

int cmd_mount(int argc, char **argv)
{
    struct mount mount = {.daemon = {.command = "mount", .ready_fd = -1}};
    struct err err = {0};
    bool done;
    mount_options_init(&mount.options, getuid(), getgid(), geteuid() == 0);
    int status = parse(&mount, argc, argv, &done);
    if (!done) {
        enum err_code code = choose_paths(&mount, argv[optind], &err);
        if (code == ERR_OK)
            code = daemon_try_folder(mount.data_path, &mount.start, &err);
        mount.daemon.data_path = mount.data_path;
        if (code != ERR_OK)
            status = cmd_fail("mount", code, &err);
        else
            status = daemon_run(&mount.daemon, run, &mount);
    }
    mount_options_release(&mount.options);
    free(mount.mountpoint);
    free(mount.data_path);
    return status;
}

/* ---- umount ---- */

/* The data folder that DIR's member uses, as .fs/status says; NULL: not to be read. */
static char *data_of(const char *directory)
{
    char text[8192];
    char *path = mem_xformat("%s/.fs/status", directory), *data = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
    if (fd >= 0)
        close(fd);
    free(path);
    if (size > 0) {
        struct bytes found = status_find(bytes_of(text, (size_t)size), "data");
        data = found.size ? bytes_to_text(found) : NULL;
    }
    return data;
}

/* Until the member has given its folder back, so that it may be mounted again at once. */
static void wait_until_free(const char *data)
{
    char *path = mem_xformat("%s/lock", data);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    int64_t until = fs_now_ms() + UMOUNT_WAIT_MS;
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && fs_now_ms() < until)
        nanosleep(&(struct timespec){.tv_nsec = 10 * NS_PER_MS}, NULL);
    if (fd >= 0)
        close(fd);
    free(path);
}

static const struct option umount_options[] = {
    {"lazy", no_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
};

int cmd_umount(int argc, char **argv)
{
    bool lazy = false;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "lh", umount_options, NULL)) != -1;) {
        if (option == 'h') {
            printf("usage: concordfs umount [-l] DIR\n\n"
                   "Unmounts DIR and waits until its member has stopped.\n\n"
                   "  -l, --lazy   also while it is in use\n\n  concordfs umount ~/cfg\n");
            return cmd_finish("umount", CMD_OK);
        }
        if (option != 'l')
            return cmd_usage("umount", "unknown option");
        lazy = true;
    }
    if (argc - optind != 1)
        return cmd_usage("umount", "one DIR is needed");
    struct err err = {0};
    char *data = data_of(argv[optind]);
    enum err_code code = mountpoint_unmount(argv[optind], lazy, &err);
    if (code == ERR_OK && data)
        wait_until_free(data);
    free(data);
    return code == ERR_OK ? CMD_OK : cmd_fail("umount", code, &err);
}
