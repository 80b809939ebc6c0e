#!/bin/sh
# A save in flight is done, and done once, whatever happens to the others: on host c appends, exclusive creates,
# renames and removals go on (once.c) while the leader is killed, while both others start again from nothing but
# their tables, and while c is given a state in which what it asked for is done already. A call that was done
# twice fails or leaves a line twice; one that is lost leaves none. What the mount asks for carries compares,
# which keep most of it from being done twice even where a repeat is taken for something new. So there are
# plain puts beside them (puts.c), through c's socket: only the sessions keep those from it.
#
# Who is told at once repeats nothing. So c is made deaf until something of it is done that it has not been told
# of, and is cut off then, so that it asks again only after what is done to the others: three hosts of a fleet.
#
# With so long a timeo a call waits, and does not give up, for as long as this takes.
. "$(dirname "$0")/lib.sh"
need_command ip nsenter
hosts="a b c" workers=4 kills=3 times=3
[ -z "$FULL" ] || kills=20 times=40
notes=$work/notes
writers='' putter='' puts=$work/puts
FLEET=$work/fleet
CONCORDFS=$work/patient
export FLEET CONCORDFS
printf '#!/bin/sh\n[ "$1" != mount ] || { shift; set -- mount -o timeo=200s "$@"; }\nexec %s "$@"\n' \
    "'$program'" >"$CONCORDFS"
chmod +x "$CONCORDFS"
fleet() { sh "$SRCDIR/contrib/fleet" "$@" >>"$log" 2>&1 </dev/null || fail "contrib/fleet $*"; }

end() {
    status_of_test=$1
    trap - EXIT TERM INT
    set +e
    for pid in $writers $putter; do kill -9 "$pid" 2>/dev/null; done
    for host in $hosts; do cat "$(data_of "$host")/log" >>"$log" 2>/dev/null; done
    sh "$SRCDIR/contrib/fleet" down >>"$log" 2>&1
    clean_up "$status_of_test"
}
trap 'end $?' EXIT
fail() {
    KEEP=1
    die "$*"
}

at() { echo "$FLEET/$1"; }
data_of() { echo "$FLEET/.fleet/$1"; }
leader() { "$program" member list --data "$(data_of a)" | awk '/ leader/ { print $2 }'; }
# Host a or b, so that the saver is not the leader.
other_leads() {
    victim=$(leader) tries=0
    while [ "$victim" = c ] || [ -z "$victim" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "neither a nor b leads"
        "$program" member --data "$(data_of a)" transfer a >/dev/null 2>&1 || sleep 0.1
        victim=$(leader)
    done
}
all_serve() {
    tries=0
    for host in $hosts; do
        until timeout -s KILL 3 ls "$(at "$host")" >/dev/null 2>&1; do
            tries=$((tries + 1))
            [ "$tries" -lt 300 ] || fail "$host does not serve"
            sleep 0.1
        done
    done
}
acknowledged() { cat "$notes".[0-9]* | awk '{ sum += $1 } END { print sum + 0 }'; }
all_notes() { cat "$notes".[0-9]* "$puts".[0-9]*; }
until_more() { # TEXT: each of the writers has gone on, twice
    all_notes >"$work/before"
    tries=0
    until all_notes | paste "$work/before" - |
        awk 'NF != 2 || $2 < $1 + 2 { behind = 1 } END { exit behind }'; do
        kill -0 "$writers" 2>/dev/null || fail "$1: the writers ended: $(cat "$work/said")"
        kill -0 "$putter" 2>/dev/null || fail "$1: plain puts: $(cat "$puts")"
        tries=$((tries + 1))
        [ "$tries" -lt 1200 ] || fail "$1: saves do not go on"
        sleep 0.05
    done
}
both_stop() {
    for host in a b; do
        daemon_of_host=$(cat "$(data_of "$host")/lock")
        "$program" umount "$(at "$host")" || wrong "umount of $host ended with $?"
        while kill -0 "$daemon_of_host" 2>/dev/null; do sleep 0.01; done
    done
    for host in a b; do
        # Entries that were not decided may be left; of others the mark says that the tables have them.
        "$program" wal dump "$(data_of "$host")" | awk '
            $3 == "mark" { sub(/.* index=/, ""); mark = $1 + 0 }
            $3 == "state" { sub(/.* commit=/, ""); commit = $1 + 0 }
            END { exit !mark || commit > mark }' || wrong "the tables of $host are not all that it has"
    done
}
both_start() {
    fleet start a &
    starting=$!
    fleet start b
    wait "$starting" || fail "a does not start"
}

# --- plain puts: NAME of what happens meanwhile ---

begin_puts() {
    phase=$1 puts=$work/puts-$1
    for worker in $(seq 0 $((workers - 1))); do printf '%012d\n' 0 >"$puts.$worker"; done
    "$(compiled puts)" "$(data_of c)" "$workers" "/puts/$phase" "$puts" >"$puts" 2>&1 &
    putter=$!
}
noted_puts() { # "WORKER NUMBER" for each
    for worker in $(seq 0 $((workers - 1))); do echo "$worker $(awk '{ print $1 + 0 }' "$puts.$worker")"; done
}
end_puts() {
    : >"$puts.stop"
    wait "$putter" || wrong "$phase: plain puts: $(cat "$puts")"
    for host in $hosts; do
        "$(compiled puts)" "$(data_of "$host")" "$workers" "/puts/$phase" >"$work/found" ||
            wrong "$phase: the versions on $host"
        noted_puts | diff - "$work/found" >"$work/verdict" ||
            wrong "$phase: plain puts on $host: $(cat "$work/verdict")"
    done
    figure "$phase: $(noted_puts | awk '{ sum += $2 } END { print sum }') plain puts, each done once"
}

# --- c hears nothing of what it asked for ---

# What a has of c's that c was not told of.
is_untold() { # log | puts
    case $1 in
    log) [ "$(wc -l <"$(at a)/once/log")" -gt "$(acknowledged)" ] ;;
    puts) noted_puts | while read -r worker number; do
        [ "$(cat "$(at a)/puts/$phase/$worker")" -le "$number" ] || echo found
    done | grep -q found ;;
    esac
}
deafen_c() { # WORD..: until a has something of each that c has not heard of
    tries=0
    while :; do
        other_leads
        fleet cut a c --one-way
        fleet cut b c --one-way
        sleep 0.1
        untold=yes
        for word in "$@"; do is_untold "$word" || untold=no; done
        [ "$untold" = no ] || break
        fleet heal
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "c is told of everything"
        until_more "before c is deaf"
    done
}

fleet 3
mkdir "$(at c)/once"
: >"$(at c)/once/log"
for worker in $(seq 0 $((workers - 1))); do printf '%012d\n' 0 >"$notes.$worker"; done
"$(compiled once)" "$workers" "$(at c)/once" "$notes" >"$work/said" 2>&1 &
writers=$!

# --- c is deaf, and asks for everything again ---

begin_puts deaf
until_more "at first"
for time in $(seq "$times"); do
    deafen_c puts
    sleep 0.7
    fleet heal
    until_more "deaf for the time $time"
done
end_puts

# --- the leader is killed ---

begin_puts killed
for kill in $(seq "$kills"); do
    until_more "before kill $kill"
    deafen_c puts
    fleet isolate c
    fleet kill "$victim"
    fleet heal
    until_more "after kill $kill"
    fleet start "$victim"
    all_serve
done
end_puts

# --- the others start again, from their tables alone ---

begin_puts restarted
for time in $(seq "$times"); do
    until_more "before the others stop"
    deafen_c puts
    fleet isolate c
    all_notes >"$work/before"
    both_stop
    both_start
    all_notes | cmp - "$work/before" || wrong "saves without a quorum"
    fleet heal
    until_more "after the others started again, time $time"
    all_serve
done
end_puts

# --- c is given a state in which what it asked for is done ---

was_installed() { # INDEX: c's log was begun anew above it
    for _ in 1 2 3 4 5; do      # one in use may look torn
        "$program" wal dump "$(data_of c)" 2>/dev/null | awk -v above="$1" '
            / mark .* replace=1 / { sub(/.* index=/, ""); if ($1 + 0 > above) found = 1 }
            END { exit !found }' && return 0
        sleep 0.1
    done
    return 1
}
marked_by() { "$program" wal dump "$(data_of "$1")" 2>/dev/null | awk '
    $3 == "mark" { sub(/.* index=/, ""); mark = $1 + 0 } END { print mark + 0 }'; }
# A log keeps RAFTLOG_KEEP_BYTES below its mark, some 2,100 of these entries.
put_more_than_is_kept() { # INDEX
    tries=0
    until [ "$(marked_by a)" -gt $(($1 + 2500)) ] && [ "$(marked_by b)" -gt $(($1 + 2500)) ]; do
        tries=$((tries + 1))
        [ "$tries" -le 40 ] || fail "the others keep their logs"
        "$BUILDDIR/tests/script/many" "$(data_of a)" 1500 16000 /many >"$work/many" 2>&1 ||
            fail "$(cat "$work/many")"
    done
}
applied_by_a() { awk '$1 == "applied:" { print $2 }' "$(at a)/.fs/status"; }
for restart in no yes; do
    begin_puts "installed-$restart"
    until_more "before a state is fetched"
    deafen_c log puts
    fleet isolate c
    before=$(applied_by_a)
    put_more_than_is_kept "$before"
    [ "$restart" = no ] || {
        both_stop
        both_start
    }
    fleet heal
    until_more "after a state was fetched"
    if was_installed "$before"; then
        say "restart: $restart, a state was fetched"
    elif [ "$restart" = yes ]; then
        wrong "c was given entries, where the others have only tables"
    else
        say "the leader has kept the entries for c"      # it may: for a state that it began to send
    fi
    end_puts
done

# --- what there is ---

: >"$notes.stop"
wait "$writers" || wrong "$(cat "$work/said")"
for host in $hosts; do
    awk -v workers="$workers" '
        $2 != ++next_of[$1] || NF != 2 { print "line " NR " is \"" $0 "\""; exit }
        END { for (one in next_of) print one, next_of[one] }' "$(at "$host")/once/log" | sort >"$work/found"
    for worker in $(seq 0 $((workers - 1))); do
        echo "$worker $(awk '{ print $1 + 0 }' "$notes.$worker")"
    done | diff - "$work/found" >"$work/verdict" || wrong "the log on $host: $(cat "$work/verdict")"
    is log "$(ls "$(at "$host")/once")" "what is left on $host"
done
figure "$(acknowledged) rounds, each call once; the leader killed $kills times"
finish
