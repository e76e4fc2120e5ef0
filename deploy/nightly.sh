#!/bin/sh
# Build the index, and hand it to the service with its encoder: `nightly.sh` every night, `nightly.sh --once` now.
#
# In the working folder: config.yaml, whose `index` is a folder of the builder's own.
#   SERVED   the folder that the service reads (default /srv/served/index); it gets whole generations only
#   HANDOVER a folder for the export on its way there (default: beside SERVED)
#   AT       the time of every night's build, UTC (default 03:00)
set -u

SERVED=${SERVED:-/srv/served/index}
HANDOVER=${HANDOVER:-$(dirname "$SERVED")/.handover}
AT=${AT:-03:00}

child=

# Run a command so that a signal reaches it: a shell would wait for it first.
run() {
    "$@" &
    child=$!
    wait "$child"
    code=$?
    child=
    return "$code"
}

stop() {
    trap - TERM INT
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null
        wait "$child"
    fi
    exit "$1"
}

once() {
    run pipeline build
    built=$?
    case $built in
    0 | 3 | 4) ;;                # 3: some documents were rejected; 4: nothing had changed
    *) return "$built" ;;
    esac
    rm -rf "$HANDOVER"
    run pipeline export "$HANDOVER" --with-model || return $?
    run pipeline import "$HANDOVER" "$SERVED"
    imported=$?
    rm -rf "$HANDOVER"
    case $imported in
    0 | 4) return 0 ;;           # 4: it is served already
    *) return "$imported" ;;
    esac
}

trap 'stop 143' TERM
trap 'stop 130' INT
if [ "${1:-}" = --once ]; then
    once
    exit $?
fi
while :; do
    once || echo "nightly: ended with $?; the served index is as it was" >&2
    now=$(date -u +%s)
    next=$(date -u -d "$AT" +%s)
    [ "$next" -gt "$now" ] || next=$((next + 86400))
    run sleep $((next - now))
done
