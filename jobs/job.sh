# What every job script here does first: `source jobs/job.sh` from the repository's folder. Not a script of its own.

[ -f jobs/cluster.env ] || { echo "jobs/cluster.env is missing: copy jobs/cluster.env.example and fill it in" >&2; exit 2; }
set -a
source jobs/cluster.env
set +a
eval "${RADIANCE_SETUP:-}"
[ -z "${RADIANCE_CACHE:-}" ] || export TI_OFFLINE_CACHE_FILE_PATH="$RADIANCE_CACHE"

# run COMMAND…: run it, hand signals on to it, and put the job back in the queue where it was cut off by USR1, the sign that time is
# running out. It ends with the command's exit code: 75 says that the command was cut off, and that what it had to save is saved.
run() {
    local code child out_of_time=
    "$@" &
    child=$!
    trap 'out_of_time=yes; kill -USR1 $child' USR1
    trap 'kill -TERM $child' TERM
    while :; do
        wait "$child"
        code=$?
        kill -0 "$child" 2>/dev/null || break  # else a signal ended the wait, not the command
    done
    # above 128: a signal ended it while it was starting, before it could say 75
    if [ -n "$out_of_time" ] && { [ "$code" = 75 ] || [ "$code" -gt 128 ]; }; then
        echo "cut off; back in the queue"
        scontrol requeue "$SLURM_JOB_ID"
    fi
    return "$code"
}
