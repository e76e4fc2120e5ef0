#!/bin/sh
# Encode on several machines over ssh: `ssh.sh HOST…`, in the folder of config.yaml, which all of them see under this
# path. A host named twice gets two workers. Run it again after a failure: what is encoded is kept.
#   PIPELINE the command on every machine (default pipeline)
set -u

PIPELINE=${PIPELINE:-pipeline}
[ $# -gt 0 ] || { echo "usage: ssh.sh HOST..." >&2; exit 2; }

"$PIPELINE" ingest
code=$?
case $code in
0 | 3 | 4) ;;                    # 3: some documents were rejected; 4: nothing had changed
*) exit "$code" ;;
esac
"$PIPELINE" encode --plan || exit $?

number=0
workers=
for host in "$@"; do
    ssh -n -o BatchMode=yes -o ServerAliveInterval=30 "$host" \
        "cd '$PWD' && exec '$PIPELINE' encode --shard $number/$#" &
    workers="$workers $!"
    number=$((number + 1))
done
for worker in $workers; do
    wait "$worker" || echo "ssh.sh: a worker ended with $?" >&2
done
"$PIPELINE" encode --commit      # names what is missing, if a worker failed
