#include "tests/bench/rig_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

#define FLOOR RIG_MEMBERS_MAX           /* its place among the processes */
#define PROCESSES (RIG_MEMBERS_MAX + 1)
#define PATIENCE_NS (300 * INT64_C(1000000000))
#define REST_SLICE_MS 20                /* at rest: less than a tenth of a core, REST_SLICES in a row */
#define REST_SLICES 10
#define REST_SLICES_MAX 3000

struct rig {
    const char *folder, *netns;
    char *cluster;                      /* --cluster of the voters */
    struct place {
        pid_t pid;                      /* 0: does not run */
        int fd;
        struct rig_shared *shared;
        char name[2], address[32];
        char *data_path, *log_path;
    } places[PROCESSES];
};

void rig_sleep_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* ---- processes ---- */

static void enter_network(const struct rig *rig, size_t place)
{
    if (!rig->netns || place == FLOOR)
        return;
    char *path = mem_xformat("/run/netns/%s-%c", rig->netns, (int)('a' + place));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
        bench_die("cannot enter %s", path);
    close(fd);
    free(path);
}

static _Noreturn void child(struct rig *rig, size_t place, const struct rig_process *process)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < PROCESSES; i++)
        if (rig->places[i].pid && i != place)
            close(rig->places[i].fd);
    enter_network(rig, place);
    if (place == FLOOR)
        rig_floor_main(process);
    else
        rig_member_main(process);
    fflush(stdout);
    _exit(0);
}

static void start(struct rig *rig, size_t at, const struct start_options *options)
{
    struct place *place = &rig->places[at];
    int fds[2];
    CHECK(!place->pid);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        bench_die("no pair of sockets");
    atomic_store(&place->shared->opened_ns, 0);
    atomic_store(&place->shared->serves_ns, 0);
    struct rig_process process = {fds[1], place->shared, place->data_path, place->log_path, *options};
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        bench_die("no process");
    if (pid == 0) {
        close(fds[0]);
        child(rig, at, &process);
    }
    close(fds[1]);
    place->pid = pid;
    place->fd = fds[0];
}

static void order(struct rig *rig, size_t at, const struct rig_command *command)
{
    if (send(rig->places[at].fd, command, sizeof(*command), MSG_NOSIGNAL) < 0)
        bench_die("%s has ended; see %s", rig->places[at].data_path, rig->places[at].log_path);
}

static void answer_of(struct rig *rig, size_t at, enum rig_order order, struct rig_answer *ret)
{
    ssize_t size = recv(rig->places[at].fd, ret, sizeof(*ret), 0);
    if (size != (ssize_t)sizeof(*ret))
        bench_die("%s has ended; see %s", rig->places[at].data_path, rig->places[at].log_path);
    CHECK(ret->order == order);
}

/* ---- life ---- */

/* A port that nobody uses now. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        bench_die("no port");
    close(fd);
    return ntohs(address.sin_port);
}

static void init_place(struct rig *rig, size_t at)
{
    struct place *place = &rig->places[at];
    place->name[0] = (char)('a' + at);
    if (rig->netns)
        snprintf(place->address, sizeof(place->address), "10.78.0.%zu:2380", at + 1);
    else
        snprintf(place->address, sizeof(place->address), "127.0.0.1:%d", free_port());
    place->data_path = at == FLOOR ? mem_xformat("%s/floor", rig->folder)
                                   : mem_xformat("%s/%s", rig->folder, place->name);
    place->log_path = mem_xformat("%s.log", place->data_path);
    if (mkdir(place->data_path, 0700) != 0)
        bench_die("cannot make %s", place->data_path);
    place->shared = mmap(NULL, sizeof(*place->shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place->shared == MAP_FAILED)
        bench_die("no shared memory");
}

struct rig *rig_open(const char *folder, const char *netns)
{
    struct rig *rig = mem_xzalloc(sizeof(*rig));
    rig->folder = folder;
    rig->netns = netns;
    for (size_t i = 0; i < PROCESSES; i++)
        init_place(rig, i);
    rig->cluster = mem_xformat("a=%s,b=%s,c=%s", rig_address(rig, 0), rig_address(rig, 1),
                               rig_address(rig, 2));
    start(rig, FLOOR, &(struct start_options){0});
    for (size_t i = 0; i < RIG_VOTERS; i++)
        rig_start(rig, i);
    for (size_t i = 0; i < RIG_VOTERS; i++)
        rig_wait_serves(rig, i);
    return rig;
}

static void wait_for_end(struct place *place)
{
    close(place->fd);
    waitpid(place->pid, NULL, 0);
    place->pid = 0;
}

/* The data is not needed any more. */
void rig_close(struct rig *rig)
{
    for (size_t i = 0; i < PROCESSES; i++) {
        struct place *place = &rig->places[i];
        if (place->pid) {
            kill(place->pid, SIGKILL);
            wait_for_end(place);
        }
        munmap(place->shared, sizeof(*place->shared));
        free(place->data_path);
        free(place->log_path);
    }
    free(rig->cluster);
    free(rig);
}

/* ---- members ---- */

const char *rig_address(const struct rig *rig, size_t place) { return rig->places[place].address; }
const char *rig_data_path(const struct rig *rig, size_t place) { return rig->places[place].data_path; }
struct rig_shared *rig_shared(struct rig *rig, size_t place) { return rig->places[place].shared; }
size_t rig_other(size_t place) { return (place + 1) % RIG_VOTERS; }

void rig_status(struct rig *rig, size_t place, struct rig_status *ret)
{
    struct rig_answer answer;
    order(rig, place, &(struct rig_command){.order = RIG_STATUS});
    answer_of(rig, place, RIG_STATUS, &answer);
    *ret = answer.status;
}

static bool look_whether_settled(struct rig *rig, size_t *ret_leader)
{
    struct rig_status statuses[RIG_VOTERS];
    bool found = false;
    for (size_t i = 0; i < RIG_VOTERS; i++) {
        rig_status(rig, i, &statuses[i]);
        if (statuses[i].leader != statuses[0].leader || statuses[i].applied != statuses[0].applied ||
            statuses[i].applied != statuses[i].index)
            return false;
    }
    for (size_t i = 0; i < RIG_VOTERS; i++)
        if (statuses[i].self == statuses[i].leader) {
            *ret_leader = i;
            found = true;
        }
    return found;
}

static void be_patient(struct rig *rig, size_t place, int64_t since_ns, const char *what)
{
    rig_sleep_ms(1);
    if (bench_now_ns() - since_ns < PATIENCE_NS)
        return;
    errno = ETIMEDOUT;
    bench_die("%s %s; see %s", rig->places[place].data_path, what, rig->places[place].log_path);
}

size_t rig_settled(struct rig *rig)
{
    size_t leader = 0;
    int64_t since = bench_now_ns();
    while (!look_whether_settled(rig, &leader)) {
        rig_sleep_ms(20);
        be_patient(rig, 0, since, "and the others do not agree");
    }
    return leader;
}

int64_t rig_kill(struct rig *rig, size_t at)
{
    struct place *place = &rig->places[at];
    int64_t now = bench_now_ns();
    kill(place->pid, SIGKILL);
    wait_for_end(place);
    return now;
}

void rig_start(struct rig *rig, size_t place)
{
    start(rig, place, &(struct start_options){.name = rig->places[place].name,
                                              .cluster = rig->cluster});
}

void rig_join(struct rig *rig, size_t place)
{
    start(rig, place, &(struct start_options){.name = rig->places[place].name,
                                              .listen = rig->places[place].address,
                                              .join = rig->places[0].address,
                                              .learner = true});
}

void rig_wait_serves(struct rig *rig, size_t place)
{
    int64_t since = bench_now_ns();
    while (!atomic_load(&rig->places[place].shared->serves_ns)) {
        if (waitpid(rig->places[place].pid, NULL, WNOHANG) != 0)
            bench_die("%s has ended; see %s", rig->places[place].data_path,
                      rig->places[place].log_path);
        be_patient(rig, place, since, "does not serve");
    }
}

void rig_wait_applied(struct rig *rig, size_t place, uint64_t index, int64_t *ret_ns)
{
    struct rig_answer answer;
    order(rig, place, &(struct rig_command){.order = RIG_APPLIED, .index = index});
    answer_of(rig, place, RIG_APPLIED, &answer);
    *ret_ns = answer.ns;
}

/* ---- orders ---- */

void rig_puts_begin(struct rig *rig, size_t place, const struct rig_puts *puts)
{
    CHECK(puts->count <= (long)RIG_PUTS_MAX && puts->value_size <= RIG_VALUE_MAX);
    order(rig, place, &(struct rig_command){.order = RIG_PUTS, .puts = *puts});
    if (puts->count == 0) {             /* what was noted before is gone when this is answered */
        struct rig_status status;
        rig_status(rig, place, &status);
    }
}

void rig_puts_end(struct rig *rig, size_t place)
{
    struct rig_answer answer;
    order(rig, place, &(struct rig_command){.order = RIG_PUTS_STOP});
    answer_of(rig, place, RIG_PUTS, &answer);
}

void rig_take_samples(struct rig *rig, size_t place, int64_t from_ns, int64_t to_ns,
                      struct samples *ret)
{
    const struct rig_shared *shared = rig->places[place].shared;
    size_t count = atomic_load_explicit(&shared->put_count, memory_order_acquire);
    for (size_t i = 0; i < count; i++) {
        const struct rig_put *put = &shared->puts[i];
        if (put->answered_ns >= from_ns && put->answered_ns < to_ns)
            samples_add(ret, put->answered_ns - put->sent_ns);
    }
}

int64_t rig_floor_puts(struct rig *rig, long count, size_t batch, size_t value_size)
{
    struct rig_answer answer;
    struct rig_command command = {.order = RIG_FLOOR_PUTS, .count = count, .batch = batch};
    command.puts.value_size = value_size;
    order(rig, FLOOR, &command);
    answer_of(rig, FLOOR, RIG_FLOOR_PUTS, &answer);
    return answer.ns;
}

void rig_floor_flushes(struct rig *rig, long count, struct samples *ret)
{
    struct rig_answer answer;
    order(rig, FLOOR, &(struct rig_command){.order = RIG_FLOOR_FLUSHES, .count = count});
    answer_of(rig, FLOOR, RIG_FLOOR_FLUSHES, &answer);
    rig_take_samples(rig, FLOOR, 0, INT64_MAX, ret);
}

/* ---- CPU ---- */

int64_t rig_cpu_ns(struct rig *rig)
{
    int64_t sum = 0;
    for (size_t i = 0; i < RIG_MEMBERS_MAX; i++)
        sum += rig->places[i].pid ? bench_cpu_ns(rig->places[i].pid) : 0;
    return sum;
}

int64_t rig_floor_cpu_ns(struct rig *rig) { return bench_cpu_ns(rig->places[FLOOR].pid); }

/* LevelDB's threads have nothing left to do: what they compact later belongs to what was put. */
static int64_t at_rest(struct rig *rig, int64_t (*cpu_ns)(struct rig *rig))
{
    int64_t last = cpu_ns(rig);
    for (int i = 0, quiet = 0; quiet < REST_SLICES && i < REST_SLICES_MAX; i++) {
        rig_sleep_ms(REST_SLICE_MS);
        int64_t now = cpu_ns(rig);
        quiet = now - last < REST_SLICE_MS * 1000000 / 10 ? quiet + 1 : 0;
        last = now;
    }
    return last;
}

int64_t rig_cpu_at_rest_ns(struct rig *rig) { return at_rest(rig, rig_cpu_ns); }
int64_t rig_floor_cpu_at_rest_ns(struct rig *rig) { return at_rest(rig, rig_floor_cpu_ns); }

/* ---- the report ---- */

static void print_goal(const char *what, const char *word, double value, double limit,
                       const char *unit, bool is_met, double by)
{
    if (is_met)
        printf("  goal: %s %s %.1f %s: met (%.1f)\n", what, word, limit, unit, value);
    else
        printf("  goal: %s %s %.1f %s: missed by a factor of %.2f (%.1f)\n", what, word, limit, unit,
               by, value);
    fflush(stdout);
}

void rig_goal_at_most(const char *what, double value, double limit, const char *unit)
{
    print_goal(what, "at most", value, limit, unit, value <= limit, limit > 0 ? value / limit : 0);
}

void rig_goal_at_least(const char *what, double value, double limit, const char *unit)
{
    print_goal(what, "at least", value, limit, unit, value >= limit, value > 0 ? limit / value : 0);
}
