# shellcheck shell=sh
# A training in a shell: saves $1 checkpoints into $RUNCTL_CHECKPOINT_DIR, waits for the file $2 if one is named, ends with $3.
save() {
    printf 'step %s' "$1" >"$RUNCTL_CHECKPOINT_DIR/model_step_$1.bin.tmp"
    mv "$RUNCTL_CHECKPOINT_DIR/model_step_$1.bin.tmp" "$RUNCTL_CHECKPOINT_DIR/model_step_$1.bin"
}
trap 'echo saving on TERM; save 99; exit 0' TERM
echo "user $(id -u):$(id -g) home $HOME of_image $OF_IMAGE a $A b $B init $(cat /proc/1/comm)"
echo "resume [$RUNCTL_RESUME_FROM] attempt $RUNCTL_ATTEMPT run $RUNCTL_RUN in $(pwd)"
step=0
while [ "$step" -lt "$1" ]; do
    step=$((step + 1))
    save "$step"
done
while [ -n "$2" ] && [ ! -e "$2" ]; do
    sleep 0.05
done
echo the last line
exit "${3:-0}"
