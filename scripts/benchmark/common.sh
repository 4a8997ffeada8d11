# Read by the scripts beside it: RocketMQ's load tools, by way of ringmq bench. They set $here, the
# directory of this file, and $name. As RocketMQ's they run in the background; shutdown.sh ends them.

for bin in "$here/../bin" "$here/.."; do
    [ -f "$bin/common.sh" ] && [ -f "$bin/mqbroker" ] && break
done
bin=$(CDPATH='' cd -- "$bin" && pwd) || exit 1
. "$bin/common.sh"

# look_at OPTION COUNT: answers one that asks for help, and refuses one that is the last of so many
# words: all others need a value.
look_at() {
    case $1 in
        -h | --help)
            echo "$name.sh: $options"
            exit 0
            ;;
    esac
    [ "$2" -ge 2 ] || fail "$1 needs a value"
}

# off OPTION VALUE WHY: refuses what is switched on and not there.
off() {
    case $2 in
        [tT][rR][uU][eE]) fail "$1 true: $3" ;;
    esac
}

unsigned="the load tool does not sign its requests: measure a broker without aclEnable"
untraced="the load tool sends no trace messages"

unknown() {
    fail "$1 is none of its options: $options"
}

# start MODE ARGUMENT...: in the background, under the name by which shutdown.sh finds it.
start() {
    find_ringmq
    started_by "benchmark-$name"
    "$ringmq" bench "$@" &
}
