#!/bin/sh
# Clients that are programs: each call is a run of the command that follows the three numbers.
sessions=$1 calls=$2 pause=$3
shift 3

session() {
    number=0
    while [ "$number" -lt "$calls" ]; do
        [ "$number" = 0 ] || sleep "$pause"
        "$@" || return
        number=$((number + 1))
    done
}

pids=''
for _ in $(seq "$sessions"); do
    session "$@" &
    pids="$pids $!"
done
code=0
for pid in $pids; do wait "$pid" || code=$?; done
exit "$code"
