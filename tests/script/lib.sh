# What tests of several members on this host's loopback begin with. Sourced first:
#
#     . "$(dirname "$0")/lib.sh"
#
# It gives the test a folder of its own, $work, where each member has the folder $(data NAME), and takes it and
# the members away at the end; KEEP=1 leaves the folder. Nothing here counts on how long anything takes, but on
# it happening within WAIT_S.
#
#   pick_ports NAME..       ${at[NAME]} is an address that nobody listens on
#   serve NAME OPTION..     a member in the background;  c COMMAND..  the program
#   pid_of, voters, leader NAME;  log_has, get_is, first_is, has_ended  conditions for until_true
#   say, bad TEXT           what comes now; what is wrong
#   is WHAT GOT WANTED      holds WHAT TEXT PART      until_true WHAT COMMAND..      refused PART ARGUMENT..
#   all_stop NAME..         in order; says how many checks failed and ends
set -u
: "${SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}" "${BUILDDIR:=$PWD}"
WAIT_S=60
work=$(mktemp -d "${TMPDIR:-/tmp}/concordfs-${0##*/}-XXXXXX")
export HOME=$work LC_ALL=C
failures=0 checks=0

program=$BUILDDIR/concordfs
[ -x "$program" ] || { echo "there is no $program"; exit 1; }
c() { "$program" "$@"; }
data() { echo "$work/$1"; }
pid_of() { cat "$(data "$1")/lock" 2>/dev/null; }
kill_all() {
    local lock pid
    for lock in "$work"/*/lock; do
        pid=$(cat "$lock" 2>/dev/null) || continue
        # Ours alone: the process whose folder this is.
        grep -qs concordfs "/proc/$pid/comm" && grep -qzs "$work" "/proc/$pid/cmdline" && kill -9 "$pid"
    done
}
clean_up() {
    kill_all
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

say() { printf '%s\n' "--- $*"; }
bad() {
    failures=$((failures + 1))
    printf 'wrong: %s\n' "$*"
}
is() { # what, got, wanted
    checks=$((checks + 1))
    [ "$2" = "$3" ] || bad "$1: got \"$2\", wanted \"$3\""
}
holds() { # what, text, a part of it
    checks=$((checks + 1))
    case $2 in *"$3"*) ;; *) bad "$1: \"$2\" has no \"$3\"" ;; esac
}
until_true() { # what, command...: within WAIT_S
    local what=$1 tries=0
    shift
    checks=$((checks + 1))
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -ge $((WAIT_S * 10)) ]; then
            bad "$what: not within $WAIT_S s"
            return 1
        fi
        sleep 0.1
    done
}
refused() { # part of the sentence, arguments: exit status 1 or 2 and the sentence
    local wanted=$1 out status
    shift
    out=$(timeout "$WAIT_S" "$program" "$@" 2>&1)
    status=$?
    checks=$((checks + 1))
    case $status in 1 | 2 | 3) ;; *) bad "$*: exit status $status" ;; esac
    holds "$*" "$out" "$wanted"
}

# Ports that nobody listens on now, below those that the kernel gives to clients.
port_is_free() { ! { : >"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null; }
declare -A at=()
pick_ports() {
    local name port=$((10000 + RANDOM % 15000))
    for name in "$@"; do
        until port_is_free $port; do port=$((port + 1)); done
        at[$name]=127.0.0.1:$port
        port=$((port + 1))
    done
}

serve() { # name, options: in the background
    local name=$1
    shift
    c serve --data "$(data "$name")" --name "$name" "$@"
}
voters() { c member list --data "$(data "$1")" | grep -c ' voter'; }
leader() { c member list --data "$(data "$1")" | awk '/ leader/ { print $2 }'; }
log_has() { grep -qs -- "$2" "$(data "$1")/log"; }
get_is() { [ "$(c get --print-value-only --data "$(data "$1")" "$2")" = "$3" ]; }
# With all its threads: the last one keeps the folder's lock.
has_ended() {
    [ -e "/proc/$1" ] || return 0
    grep -qs '^State:.Z' "/proc/$1/status" && [ "$(ls "/proc/$1/task" 2>/dev/null | wc -l)" -le 1 ]
}
first_is() { [ "$(voters "$1")" = "$2" ]; }
all_stop() {
    local name
    for name in "$@"; do
        c stop --data "$(data $name)" || bad "$name does not stop"
    done
    echo "$checks checks, $failures failed"
    [ $failures = 0 ]
    exit
}
