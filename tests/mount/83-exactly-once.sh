#!/bin/sh
# A save in flight is done, and done once, whatever happens to the others: on host c appends, exclusive creates,
# renames and removals go on (once.c) while the leader is killed, while both others start again from nothing but
# their tables, and while c is given a state in which what it asked for is done already. A call that was done
# twice fails or leaves a line twice; one that is lost leaves none.
#
# With so long a timeo a call waits, and does not give up, for as long as this takes.
OPTIONS="-o timeo=200s"
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/three.sh"
workers=4 kills=3
[ -z "$FULL" ] || kills=20
notes=$work/notes
writers=

end() {
    set +e
    kill -CONT "$(pid_of c)" 2>/dev/null
    end_hosts
    wait
    clean_up "$1"
}

# Host a or b, so that the saver is not the leader.
other_leads() {
    victim=$(leader a) tries=0
    while [ "$victim" = c ] || [ -z "$victim" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "neither a nor b leads"
        "$program" member --data "$(data_of a)" transfer a >/dev/null 2>&1 || sleep 0.1
        victim=$(leader a)
    done
}
leader() { "$program" member list --data "$(data_of "$1")" | awk '/ leader/ { print $2 }'; }
acknowledged() { cat "$notes".[0-9]* | awk '{ sum += $1 } END { print sum + 0 }'; }
until_more() { # TEXT: each of the writers has gone on, twice
    cat "$notes".[0-9]* >"$work/before"
    tries=0
    until cat "$notes".[0-9]* | paste "$work/before" - |
        awk 'NF != 2 || $2 < $1 + 2 { behind = 1 } END { exit behind }'; do
        kill -0 "$writers" 2>/dev/null || fail "$1: the writers ended"
        tries=$((tries + 1))
        [ "$tries" -lt 1200 ] || fail "$1: saves do not go on"
        sleep 0.05
    done
}
stop() { # HOST..: in order, at once
    for host in "$@"; do "$program" umount "$(at "$host")" || wrong "umount of $host ended with $?"; done
    for host in "$@"; do wait "$(pid_of "$host")" || wrong "$host ended with $?"; done
    for host in "$@"; do
        # Entries that were not decided may be left; of others the mark says that the tables have them.
        "$program" wal dump "$(data_of "$host")" | awk '
            $3 == "mark" { sub(/.* index=/, ""); mark = $1 + 0 }
            $3 == "state" { sub(/.* commit=/, ""); commit = $1 + 0 }
            END { exit !mark || commit > mark }' || wrong "the tables of $host are not all that it has"
    done
}
both_again() {
    start a
    start b
}

form
mkdir "$(at c)/once"
: >"$(at c)/once/log"
for worker in $(seq 0 $((workers - 1))); do printf '%012d\n' 0 >"$notes.$worker"; done
"$(compiled once)" "$workers" "$(at c)/once" "$notes" >"$work/said" 2>&1 &
writers=$!
until_more "at first"

# --- the leader is killed ---

for kill in $(seq "$kills"); do
    other_leads
    until_more "before kill $kill"
    kill_hosts "$victim"
    until_more "after kill $kill"
    start "$victim"
    until_serves "$victim" "$(now_ms)"
done

# --- the others start again, from their tables alone ---

stop a b
sleep 1
before=$(acknowledged)
both_again
until_more "after the others started again"
is "$before" "$(sort -n "$work/before" | awk '{ sum += $1 } END { print sum }')" "saves without a quorum"
for host in a b; do until_serves "$host" "$(now_ms)"; done

# --- c hears nothing of what it asked for, and is given a state in which it is done ---

# Until the log has a line that c was not told of, in the instant in which it is frozen.
freeze_c() {
    tries=0
    while :; do
        kill -STOP "$(pid_of c)"
        sleep 0.3
        lines=$(wc -l <"$(at a)/once/log")
        [ "$lines" -le "$(acknowledged)" ] || break
        kill -CONT "$(pid_of c)"
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "c is told of everything at once"
        sleep "0.$(printf %03d $((tries * 37 % 400)))"
    done
}
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
    other_leads
    freeze_c
    before=$(applied_by_a)
    put_more_than_is_kept "$before"
    [ "$restart" = no ] || {
        stop a b
        both_again
        for host in a b; do until_serves "$host" "$(now_ms)"; done
    }
    kill -CONT "$(pid_of c)"
    until_more "after a state was fetched"
    if was_installed "$before"; then
        say "restart: $restart, a state was fetched"
    elif [ "$restart" = yes ]; then
        wrong "c was given entries, where the others have only tables"
    else
        say "the leader has kept the entries for c"      # it may: for a state that it began to send
    fi
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
