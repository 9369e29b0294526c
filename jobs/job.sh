# The first step of every job script here: `source jobs/job.sh` from the repository's folder. Not a script of its own.

# Signals are for the command that `run` starts: USR1 says that time is running out, TERM that the job is cancelled.
child= out_of_time=
trap 'out_of_time=yes; [ -z "$child" ] || kill -USR1 "$child"' USR1
trap '[ -n "$child" ] || exit 143; kill -TERM "$child"' TERM

[ -f jobs/cluster.env ] || { echo "jobs/cluster.env is missing: copy jobs/cluster.env.example and fill it in" >&2; exit 2; }
set -a
source jobs/cluster.env
set +a
eval "${RADIANCE_SETUP:-}"
[ -z "${RADIANCE_CACHE:-}" ] || export TI_OFFLINE_CACHE_FILE_PATH="$RADIANCE_CACHE"

# run COMMAND…: run it, pass signals on to it, and put the job back in the queue if USR1 stopped it or came before it.
# It ends with the command's exit code: 75 says that the command was stopped and its progress is saved.
run() {
    local code=75
    if [ -z "$out_of_time" ]; then
        "$@" &
        child=$!
        [ -z "$out_of_time" ] || kill -USR1 "$child"  # it came between the last two lines
        while :; do
            wait "$child"
            code=$?
            kill -0 "$child" 2>/dev/null || break  # else a signal ended the wait, not the command
        done
        child=
    fi
    # above 128: a signal ended python or srun before the program's first line, from which on it ends with 75
    if [ -n "$out_of_time" ] && { [ "$code" = 75 ] || [ "$code" -gt 128 ]; }; then
        echo "stopped; back in the queue"
        scontrol requeue "$SLURM_JOB_ID"
    fi
    return "$code"
}
