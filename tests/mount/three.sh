# Three members of one cluster on this host's loopback, each with a mount. Sourced after lib.sh:
#
#     . "$(dirname "$0")/lib.sh"
#     . "$(dirname "$0")/three.sh"
#
# It takes them away at the end, however the test ends.
#
#   form                        the three begin, and serve; $(at HOST)/serves is there from then on
#   at, data_of, pid_of HOST    its mount, its data folder, its daemon
#   start HOST                  in the background; HOST/started is when, in ms
#   until_serves HOST SINCE     a strict read and a save have succeeded there; HOST/took is how long after SINCE
#   kill_hosts HOST..           -9, all at once; gone when it returns
#   fail TEXT                   ends the test and keeps its folder
hosts="a b c" wait_ms=60000

at() { echo "$work/$1/mnt"; }
data_of() { echo "$work/$1/data"; }
pid_of() { cat "$work/$1/pid"; }
now_ms() { date +%s%3N; }
fail() {
    KEEP=1
    die "$*"
}

end_hosts() {
    for host in $hosts; do
        kill -9 "$(pid_of "$host")" 2>/dev/null
        umount -l "$(at "$host")" 2>/dev/null
        cat "$work/$host/log" >>"$log" 2>/dev/null
    done
}
end() {
    set +e
    end_hosts
    wait
    clean_up "$1"
}
trap 'end $?' EXIT

port_is_free() { ! grep -qi ":$(printf %04X "$1") 00000000:0000 0A" /proc/net/tcp; }
list=
pick_ports() {
    port=$((10000 + $$ % 15000))
    for host in $hosts; do
        until port_is_free "$port"; do port=$((port + 1)); done
        list="$list${list:+,}$host=127.0.0.1:$port"
        port=$((port + 1))
    done
}
start() { # HOST
    first=
    [ -e "$(data_of "$1")/identity" ] || first="--name $1 --cluster $list"
    # shellcheck disable=SC2086
    "$program" mount -f --data "$(data_of "$1")" $first "$(at "$1")" >>"$work/$1/log" 2>&1 &
    echo $! >"$work/$1/pid"
    now_ms >"$work/$1/started"
}
kill_hosts() {
    pids=
    for host in "$@"; do pids="$pids $(pid_of "$host")"; done
    # shellcheck disable=SC2086
    kill -9 $pids
    # shellcheck disable=SC2086
    wait $pids 2>/dev/null || true
}
serves() { # a mount whose daemon is gone is still in the table, and one that is not yet there is a folder
    cat "$(at "$1")/serves" && echo "$1 $(now_ms)" >"$(at "$1")/by-$1/serves"
} >/dev/null 2>&1
until_serves() {
    until serves "$1"; do
        kill -0 "$(pid_of "$1")" 2>/dev/null || fail "$1 ended: $(tail -n 3 "$work/$1/log")"
        [ $(($(now_ms) - $2)) -lt "$wait_ms" ] || fail "$1 does not serve"
        sleep 0.005
    done
    echo $(($(now_ms) - $2)) >"$work/$1/took"
}
form() {
    pick_ports
    for host in $hosts; do mkdir -p "$(data_of "$host")" "$(at "$host")"; done
    for host in $hosts; do start "$host"; done
    tries=0
    until [ -f "$(at a)/.fs/revision" ] && echo serves >"$(at a)/serves" &&
        mkdir -p "$(at a)/by-a" "$(at a)/by-b" "$(at a)/by-c"; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || die "the cluster does not form"
        sleep 0.1
    done 2>/dev/null
    for host in $hosts; do until_serves "$host" "$(now_ms)"; done
}
