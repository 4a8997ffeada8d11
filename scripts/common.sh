# Read by the scripts for RocketMQ's commands, in checkouts (scripts/) and installations (bin/). They
# set $bin, the directory of this file, and $name, what they are called in messages.

fail() {
    echo "$name: $1" >&2
    exit 1
}

# Sets $ringmq: the binary in ROCKETMQ_HOME, beside the scripts, or of the checkout that they are in,
# built if need be. ROCKETMQ_HOME is where conf/ is; unless it was set it is above the scripts.
find_ringmq() {
    above=$(CDPATH='' cd -- "$bin/.." && pwd) || fail "there is no directory above $bin"
    built=$above/target/release/ringmq
    for ringmq in ${ROCKETMQ_HOME:+"$ROCKETMQ_HOME/bin/ringmq"} "$bin/ringmq" "$built"; do
        [ -f "$ringmq" ] && [ -x "$ringmq" ] && break
        ringmq=
    done
    if [ -z "$ringmq" ]; then
        [ -f "$above/src/main.rs" ] || fail "the program ringmq is missing: it belongs into $bin"
        command -v cargo >/dev/null ||
            fail "ringmq is not built yet and there is no cargo: install Rust (https://rustup.rs)"
        echo "$name: building ringmq, once; this takes some minutes" >&2
        (cd -- "$above" && cargo build --release --bin ringmq) >&2 || fail "ringmq cannot be built"
        ringmq=$built
    fi
    ROCKETMQ_HOME=${ROCKETMQ_HOME:-$above}
    export ROCKETMQ_HOME
}

# started_by WHAT: what is started from here on is found by mqshutdown under that name.
started_by() {
    RINGMQ_STARTED_BY="$1 of $bin"
    export RINGMQ_STARTED_BY
}

# processes WHAT: ids of the running processes that this user has started as WHAT by the scripts in
# this directory, in a line.
processes() {
    user=$(id -u)
    found=
    mark="RINGMQ_STARTED_BY=$1 of $bin"
    for environment in $(grep -lszxF -- "$mark" /proc/[0-9]*/environ 2>/dev/null); do
        process=${environment%/environ}
        program=$(readlink -- "$process/exe") || continue
        case ${program% (deleted)} in
            */ringmq) ;;
            *) continue ;;
        esac
        owner=$(sed -n 's/^Uid:[[:space:]]*[0-9]*[[:space:]]*\([0-9]*\).*/\1/p' "$process/status")
        [ "$owner" = "$user" ] && found="$found ${process#/proc/}"
    done
    echo "${found# }"
}

# shut_down WHAT [TITLE]: asks those processes to end, and says so in RocketMQ's words.
shut_down() {
    title=${2:-$1}
    running=$(processes "$1")
    if [ -z "$running" ]; then
        echo "No $title running."
        exit 1
    fi
    echo "The $title($running) is running..."
    # shellcheck disable=SC2086 # one word a process
    kill $running || exit 1
    echo "Send shutdown request to $title($running) OK"
}
