#!/bin/sh
# The main job, once, for real: a server, an agent on a Git repository with a failing test, and what came of it.
# Ends with 0 only if the agent mended the code, the tests pass inside the environment, and the server stopped well.
#
#   HOSTLER          the command to use; .venv/bin/hostler otherwise
#   HOSTLER_MODEL    PROVIDER:NAME, with that provider's own variables; a scripted model plays the part otherwise
set -eu

root=$(cd "$(dirname "$0")/.." && pwd -P)
hostler=${HOSTLER:-$root/.venv/bin/hostler}
case $hostler in
    /*) ;;
    */*) hostler=$(pwd -P)/$hostler ;;
    *) hostler=$(command -v "$hostler") ;;
esac
python=$(dirname "$hostler")/python3
[ -x "$python" ] || python=python3
task='One test of this project fails. Find out why, fix the code, and run the tests again.'
server=''

title() { printf '\n== %s\n' "$1"; }
fail() {
    printf 'main-job: %s\n' "$1" >&2
    exit 1
}

# Say whether every user may pass through a folder and all those above it.
passable() {
    folder=$1
    while :; do
        case $(ls -ld "$folder") in
            ?????????[xt]*) ;;
            *) return 1 ;;
        esac
        [ "$folder" != / ] || return 0
        folder=$(dirname "$folder")
    done
}

# Read one value out of JSON on standard input, by a Python expression over `it`.
pick() { "$python" -c "import json, sys; it = json.load(sys.stdin); print($1)"; }

# Stop every agent of this server that works, and every environment that runs: they would outlive the server.
rest() {
    for id in $("$hostler" ps --json | pick '*(e["id"] for e in it if e["status"]["phase"] in ("PHASE_PENDING", "PHASE_RUNNING"))'); do
        "$hostler" stop "$id"
    done
    for id in $("$hostler" env list --json | pick '*(e["id"] for e in it if e["status"]["phase"] == "ENVIRONMENT_PHASE_RUNNING")'); do
        "$hostler" env stop "$id"
    done
}

# End a server and wait until it is gone.
end() {
    kill "$1" 2>/dev/null || return 0
    tries=0
    while kill -0 "$1" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { kill -KILL "$1" 2>/dev/null || :; return 1; }
        sleep 0.1
    done
}

# Whatever happened: stop the agent, its environment and the server.
tidy() {
    code=$?
    trap '' INT TERM HUP
    trap - EXIT
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        rest >/dev/null || [ "$code" != 0 ] || code=1
        kill "$server" 2>/dev/null || :
    fi
    if [ -n "$server" ] && ! wait "$server" && [ "$code" = 0 ]; then
        echo "The server did not end well: see $log" >&2
        code=1
    fi
    exit "$code"
}

# Root's sandboxes have user ids of their own, which must get through to their folders.
place=$root/.hostler
if [ "$(id -u)" = 0 ] && ! passable "$root"; then
    for place in /var/tmp/hostler-demo /tmp/hostler-demo ''; do
        if [ -n "$place" ] && mkdir -p "$place" 2>/dev/null && [ -O "$place" ] && passable "$place"; then break; fi
    done
    [ -n "$place" ] || fail "there is no folder that other users can pass through, and sandboxes made by root need one"
    echo "Other users cannot pass through $root, as sandboxes made by root must: the files are in $place instead."
fi
repository=$place/demo/wordcount
log=$place/demo/server.log
HOSTLER_DATA_DIR=$place/demo/data
export HOSTLER_DATA_DIR
# The defaults are the embedded ones: no other server, no other settings.
unset HOSTLER_URL HOSTLER_TOKEN HOSTLER_CONFIG HOSTLER_DATABASE_URL

title "A Git repository with a failing test: $repository"
mkdir -p "$place/demo"
rm -rf "$repository"
cp -R "$root/examples/wordcount" "$repository"
cd "$repository"
find . -name __pycache__ -prune -exec rm -rf {} +
git init -q -b main
git add -A
git -c user.name=Hostler -c user.email=hostler@example.org -c commit.gpgsign=false commit -q -m 'A small project'
git log --oneline --stat | tail -n 1
if python3 -B -m unittest -q >/dev/null 2>&1; then fail "its tests pass already"; fi

title "A server: hostler serve --port 0 --data-dir $HOSTLER_DATA_DIR"
# A run that was killed may have left its server behind; one that is not ours is left alone.
if [ -f "$HOSTLER_DATA_DIR/server.json" ]; then
    old=/proc/$(pick 'it["pid"]' <"$HOSTLER_DATA_DIR/server.json")
    if [ -r "$old/cmdline" ]; then
        case $(tr '\0' ' ' <"$old/cmdline") in
            *" --data-dir $HOSTLER_DATA_DIR "*) end "${old#/proc/}" || : ;;
        esac
    fi
fi
trap tidy EXIT
trap 'echo "Interrupted: stopping the agent, its environment and the server."; exit 130' INT
trap 'exit 143' TERM HUP
# In a session of its own, so that Ctrl-C reaches this script alone, which then ends things in order.
setsid "$hostler" serve --port 0 --data-dir "$HOSTLER_DATA_DIR" </dev/null >"$log" 2>&1 &
server=$!
until grep '^Hostler is ready at ' "$log"; do
    kill -0 "$server" 2>/dev/null || fail "the server did not start: $(tail -n 3 "$log")"
    sleep 0.1
done
if [ -n "${HOSTLER_MODEL:-}" ]; then
    echo "The model is $HOSTLER_MODEL."
else
    echo "No model is configured, so a scripted one plays its part; HOSTLER_MODEL=PROVIDER:NAME and that provider's key choose a real one."
fi

title "An agent: hostler run '$task' --repo $repository"
"$hostler" run "$task" --repo "$repository" && ran=0 || ran=$?
execution=$("$hostler" ps --json | pick 'it[0]["id"] if it else ""')
[ -n "$execution" ] || fail "no agent was started"
if [ $ran != 0 ]; then
    "$hostler" doctor || :
    fail "the agent did not come to its end (exit code $ran)"
fi
environment=$("$hostler" show "$execution" --json | pick 'it["status"]["usedEnvironments"][0]["environmentId"]')

title "The tests, inside the environment: hostler env exec $environment -- python3 -m unittest"
"$hostler" env exec "$environment" -- python3 -m unittest || fail "the tests do not pass"

title "The change: hostler diff $execution"
"$hostler" diff "$execution" >"$place/demo/diff"
cat "$place/demo/diff"
[ -s "$place/demo/diff" ] || fail "the agent changed nothing"

title "What it used: hostler show $execution"
"$hostler" show "$execution"

title "Done: the agent mended the code and its tests pass."
echo "Execution $execution. Look again: hostler serve --data-dir $HOSTLER_DATA_DIR, and beside it, for its page in a browser,"
echo "hostler open $execution --data-dir $HOSTLER_DATA_DIR"
