#!/bin/sh
# Pulls messages as RocketMQ's benchmark consumer does, with its options.
name=consumer
here=$(dirname -- "$(readlink -f -- "$0")")
. "$here/common.sh"
options="-n -t -w -g -p -f -e -r -m -a -ak -sk -h, each but -h with a value"

group=benchmark_consumer
suffix=false
filter=
expression=
words=$#
while [ "$words" -gt 0 ]; do
    look_at "$1" "$words"
    case $1 in
        -n | --namesrvAddr) set -- "$@" --namesrv "$2" ;;
        -t | --topic) set -- "$@" --topic "$2" ;;
        # one thread takes what comes
        -w | --threadCount) ;;
        -g | --group) group=$2 ;;
        -p) suffix=$2 ;;
        -f | --filterType) filter=$2 ;;
        -e | --expression) expression=$2 ;;
        -r)
            case $2 in
                0 | 0.0) ;;
                *) fail "-r $2: the load tool takes every message; only 0 is there" ;;
            esac
            ;;
        -m | --msgTraceEnable) off "$1" "$2" "$untraced" ;;
        -a | --aclEnable) off "$1" "$2" "$unsigned" ;;
        -ak | --accessKey | -sk | --secretKey) ;;
        *) unknown "$1" ;;
    esac
    shift 2
    words=$((words - 2))
done
[ "$suffix" = true ] && group=${group}_$(($(date +%s) % 100))
if [ -n "$filter" ] && [ -n "$expression" ]; then
    [ -r "$expression" ] || fail "-e names a file with the expression; $expression cannot be read"
    set -- "$@" --filter-type "$filter" --expression "$(cat -- "$expression")"
fi
start consumer --group "$group" --duration 0 "$@"
