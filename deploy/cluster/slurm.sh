#!/bin/sh
# Encode as a job array of Slurm: `slurm.sh WORKERS [SBATCH OPTION…]`, in the folder of config.yaml, on a file system
# that all nodes see. Options such as --gres=gpu:1, --mem=8G and --time=4:00:00 go to the workers.
#   PIPELINE the command on every node (default pipeline)
set -u

PIPELINE=${PIPELINE:-pipeline}
case ${1:-} in
'' | *[!0-9]* | 0) echo "usage: slurm.sh WORKERS [SBATCH OPTION...]" >&2; exit 2 ;;
esac
workers=$1
shift

"$PIPELINE" ingest
code=$?
case $code in
0 | 3 | 4) ;;                    # 3: some documents were rejected; 4: nothing had changed
*) exit "$code" ;;
esac
"$PIPELINE" encode --plan || exit $?

# A node that fails or is taken away: its task is queued again, and goes on at the shards that are not there.
array=$(sbatch --parsable --job-name=search-encode --requeue --array="0-$((workers - 1))" "$@" \
    --wrap "exec '$PIPELINE' encode --shard \$SLURM_ARRAY_TASK_ID/$workers") || exit $?
# afterany: if a task failed for good, the commit names what is missing.
sbatch --job-name=search-commit --dependency="afterany:${array%%;*}" \
    --wrap "exec '$PIPELINE' encode --commit"
