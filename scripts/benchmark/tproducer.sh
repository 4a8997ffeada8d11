#!/bin/sh
# Sends transactional messages as RocketMQ's benchmark does, with its options.
name=tproducer
here=$(dirname -- "$(readlink -f -- "$0")")
. "$here/common.sh"
options="-n -t -w -s -sr -su -cr -cu -b -i -m -a -ak -sk -h, each but -h with a value"

workers=32
size=2048
words=$#
while [ "$words" -gt 0 ]; do
    look_at "$1" "$words"
    case $1 in
        -n | --namesrvAddr) set -- "$@" --namesrv "$2" ;;
        -t | --topic) set -- "$@" --topic "$2" ;;
        -w | --threadCount) workers=$2 ;;
        -s | --messageSize) size=$2 ;;
        -sr) set -- "$@" --send-rollback-rate "$2" ;;
        -su) set -- "$@" --send-unknown-rate "$2" ;;
        -cr) set -- "$@" --check-rollback-rate "$2" ;;
        -cu) set -- "$@" --check-unknown-rate "$2" ;;
        # messages of other runs are told by their keys
        -b) ;;
        -i) set -- "$@" --interval "$2ms" ;;
        -m | --msgTraceEnable) off "$1" "$2" "$untraced" ;;
        -a | --aclEnable) off "$1" "$2" "$unsigned" ;;
        -ak | --accessKey | -sk | --secretKey) ;;
        *) unknown "$1" ;;
    esac
    shift 2
    words=$((words - 2))
done
start transactions --workers "$workers" --size "$size" --duration 0 "$@"
