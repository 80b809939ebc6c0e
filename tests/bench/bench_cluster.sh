#!/bin/sh
# usage: bench_cluster.sh [WORKLOAD..]      (make bench-cluster WORKLOADS="kill join")
#
#   puts         commit latency, throughput and CPU at 1, 64 and 1000 clients, without and with idle mounts
#   visibility   from a save on one mount to inotify on another, without and with idle mounts
#   kill, cut    how long nobody can put: after kill -9 of the leader, after its link went silent
#   spin         elections while two spinners take the machine
#   catch-up     entries a second of a follower that was away
#   join         a new member of a cluster that holds much, and what that does to the leader
#
# Each with its floor of the same run and its goal. Short forms take some minutes; FULL=1 has a join with
# 1 GiB, ten minutes of spinners and IDLE=61 idle mounts (IDLE=8 else): as many as a cluster of three voters
# takes, whose limit is 64 members. BENCH_DIR chooses the disk (default: $TMPDIR or /tmp).
#
# "cut" needs root and network namespaces, "visibility" and idle mounts /dev/fuse; without, they are left out.
set -eu
self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
here=${BUILDDIR:-.}
program=${CONCORDFS:-$here/concordfs}
FULL=${FULL:-0}
[ "$FULL" != 0 ] || FULL=
IDLE=${IDLE:-${FULL:+61}}
IDLE=${IDLE:-8}

# --- idle mounts: bench_puts calls this script again ---

# A mount of a member that never votes and that nobody uses.
add_idle() { # FOLDER JOIN COUNT
    for number in $(seq "$3"); do
        mkdir -p "$1/idle-$number"
        "$program" mount --data "$1/idle-data-$number" --name "idle-$number" --join "$2" --learner \
            --listen "127.0.0.1:$(free_port)" "$1/idle-$number" >"$1/idle-$number.out" 2>&1 || {
            cat "$1/idle-$number.out" >&2
            return 1
        }
    done
}
# Below the ports that the kernel gives to clients; whoever asks twice gets another.
free_port() {
    while :; do
        port=$((10000 + $(od -An -N2 -tu2 /dev/urandom) % 20000))
        grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X $port) " /proc/net/tcp || break
    done
    echo "$port"
}
if [ "${1-}" = --add-idle ]; then
    add_idle "$BENCH_FOLDER" "$BENCH_JOIN" "$BENCH_IDLE"
    exit
fi

# --- one folder for each workload, and nothing left of it ---

base=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/concordfs-bench-XXXXXX")
netns=cfsbench$$

# The processes whose data is below our folder, and their mounts.
clear_folder() {
    for lock in "$base"/*/lock; do
        pid=$(cat "$lock" 2>/dev/null) || continue
        grep -qazF "$base/" "/proc/$pid/cmdline" 2>/dev/null || continue
        kill -9 "$pid" 2>/dev/null || :
    done
    awk -v base="$base/" 'index($5, base) == 1 { print $5 }' /proc/self/mountinfo |
        while read -r mount; do umount -l "$mount" || :; done
    rm -rf "$base"
}
remove_network() {
    for host in a b c hub; do
        [ ! -e "/run/netns/$netns-$host" ] || ip netns del "$netns-$host"
    done
}
finish() {
    clear_folder
    remove_network
}
trap finish EXIT
trap 'exit 1' INT TERM

has_fuse() {
    [ "$(id -u)" -eq 0 ] && [ -c /dev/fuse ] && return 0
    echo "$1 is left out: it needs root and /dev/fuse"
    return 1
}

# Three namespaces on a bridge in a fourth: a link is cut at the bridge, where no end notices.
make_network() {
    ip netns add "$netns-hub" && ip -n "$netns-hub" link add name bridge type bridge &&
        ip -n "$netns-hub" link set dev bridge up || return 1
    number=0
    for host in a b c; do
        number=$((number + 1))
        ip netns add "$netns-$host" && ip -n "$netns-$host" link set dev lo up &&
            ip -n "$netns-hub" link add name "to-$host" type veth peer name eth0 \
                netns "$netns-$host" &&
            ip -n "$netns-hub" link set dev "to-$host" master bridge up &&
            ip -n "$netns-$host" address add "10.78.0.$number/24" dev eth0 &&
            ip -n "$netns-$host" link set dev eth0 up || return 1
    done
}

# --- workloads ---

processes() { # WORKLOAD [NETNS]: see bench_cluster.c
    "$here/tests/bench/bench_cluster" "$base" "$@"
}
bench_puts() {
    if has_fuse "puts with idle mounts"; then
        echo "$IDLE idle mounts"
        export BENCH_IDLE="$IDLE" BENCH_SCRIPT="$self" BENCH_FOLDER="$base"
    fi
    processes puts
}
bench_cut() {
    if [ "$(id -u)" -ne 0 ] || ! make_network 2>/dev/null; then
        echo "cut is left out: it needs root, ip (iproute2), and a kernel with namespaces, veth and bridge"
        return 0
    fi
    processes cut "$netns"
    remove_network
}
mount_voters() {
    list="a=127.0.0.1:$(free_port),b=127.0.0.1:$(free_port),c=127.0.0.1:$(free_port)"
    started=
    for host in a b c; do
        mkdir "$base/$host"
        "$program" mount --data "$base/data-$host" --name $host --cluster "$list" "$base/$host" \
            >"$base/$host.out" 2>&1 &
        started="$started $!"
    done
    for one in $started; do wait "$one" || { cat "$base"/*.out >&2 && return 1; }; done
    until echo begin >"$base/a/begin"; do sleep 0.1; done 2>/dev/null
    join=${list#a=}
    join=${join%%,*}
}
look_both_ways() { # leader, follower, another one, name
    count=${FULL:+3000}
    for way in "$1 $2 leader" "$2 $3 follower"; do
        # shellcheck disable=SC2086
        set -- "$1" "$2" "$3" "$4" $way
        "$here/tests/bench/bench_visibility" "$base/$5" "$base/$6" "${count:-500}" "$4-$7"
    done
}
bench_visibility() {
    has_fuse visibility || return 0
    mount_voters
    leader=$("$program" member --data "$base/data-a" list | awk '/ leader/ { print $2 }')
    case $leader in
    a) others="b c" ;;
    b) others="c a" ;;
    *) others="a b" ;;
    esac
    # shellcheck disable=SC2086
    look_both_ways "$leader" $others visible
    add_idle "$base" "$join" "$IDLE"
    echo "the same with $IDLE idle mounts:"
    # shellcheck disable=SC2086
    look_both_ways "$leader" $others visible
}

echo "$(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg), $(stat -f -c %T "$base"), Linux $(uname -r)"
[ "$#" -gt 0 ] || set -- puts visibility kill cut spin catch-up join
for workload in "$@"; do
    mkdir -p "$base"
    case $workload in
    puts | visibility | cut) "bench_$workload" ;;
    kill | spin | catch-up | join) processes "$workload" ;;
    *)
        echo "there is no workload '$workload'" >&2
        exit 2
        ;;
    esac
    clear_folder
done
