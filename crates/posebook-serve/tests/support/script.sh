# A job of the simulated backend. Its settings are variables of the environment, see backend.rs.
# Writes files/people.csv, files/memory.csv and files/overlay.mp4, prints progress, and writes outcome.json last.
folder=$1
# a job process runs in its own folder
[ "$(pwd -P)" = "$(cd "$folder" && pwd -P)" ] || { echo "the working directory is $(pwd)" >&2; exit 9; }

outcome() {
    printf '%s' "$1" >outcome.json.part && mv outcome.json.part outcome.json
}
interrupted() {
    outcome '{"failure": null, "interrupted": true, "summary": null}'
    exit 0
}
pause() {
    # `wait` returns when a signal comes, `sleep` alone would delay the trap
    sleep "$1" &
    wait $!
}

if [ "$IGNORE_TERM" = true ]; then trap '' TERM; else trap interrupted TERM; fi
# the grandchild has a process group and a session of its own
[ "$GRANDCHILD" = true ] && (setsid sh -c 'trap "" TERM; sleep 300' >/dev/null 2>&1 &)
[ "$PAUSE_SECONDS" != 0 ] && pause "$PAUSE_SECONDS"
if [ "$FLOOD_SECONDS" != 0 ]; then
    timeout "$FLOOD_SECONDS" cat /dev/zero >&2
    echo "the flood is over" >&2
fi
case $SOURCE in
"") ;;
*) [ -r "$SOURCE" ] || { echo "cannot read $SOURCE" >&2; exit 8; }
   cp "$SOURCE" files/source.bin ;;
esac
if [ "$INSPECT" = true ]; then
    grep NoNewPrivs /proc/self/status >&2
    ls -l /proc/$$/fd >&2
fi
echo "job of $FRAMES frames" >&2
echo 'this line is not JSON'
echo '{"event": "note", "text": "the job has begun"}'

echo "frame,track,x,y,width,height,observed" >files/people.csv
echo "seconds,process_bytes" >files/memory.csv
frame=0
while [ "$frame" -lt "$FRAMES" ]; do
    [ "$FRAME_SECONDS" != 0 ] && pause "$FRAME_SECONDS"
    echo "$frame,1,$((10 + frame)),20,30,40,1" >>files/people.csv
    # the second person is seen in every other frame
    echo "$frame,2,$((90 - frame)),20,30,40,$((1 - frame % 2))" >>files/people.csv
    echo "$frame,$((1000000 + frame * 1000))" >>files/memory.csv
    frame=$((frame + 1))
    printf '{"event": "progress", "stage": "run", "done": %d, "of": %d}\n' "$frame" "$FRAMES"
    if [ "$CRASH" = true ] && [ "$frame" -ge 2 ]; then
        echo "thread 'main' panicked: the simulated crash" >&2
        kill -"${CRASH_SIGNAL:-SEGV}" $$
    fi
done
[ "$EXIT" != 0 ] && { echo "ends with $EXIT" >&2; exit "$EXIT"; }
head -c "$BYTES" /dev/zero >files/overlay.mp4 || {
    outcome '{"failure": {"kind": "disk_full", "message": "cannot write files/overlay.mp4"}, "interrupted": false, "summary": null}'
    exit 1
}
if [ -n "$FAIL" ]; then
    outcome '{"failure": {"kind": "'"$FAIL"'", "message": "the simulated failure", "advice": "try with frames=1", "changed_settings": {"frames": 1}}, "interrupted": false, "summary": null}'
    exit 1
fi
outcome '{"failure": null, "interrupted": false, "summary": "'"$FRAMES"' frames"}'
