#!/bin/sh
# Sends batches as RocketMQ's benchmark batch producer does, with its options.
name=batchproducer
here=$(dirname -- "$(readlink -f -- "$0")")
. "$here/common.sh"
options="-n -t -w -s -b -k -p -l -m -a -c -e -h, each but -h with a value"

workers=64
batch=16
words=$#
while [ "$words" -gt 0 ]; do
    look_at "$1" "$words"
    case $1 in
        -n | --namesrv | --namesrvAddr) set -- "$@" --namesrv "$2" ;;
        -t | --topic) set -- "$@" --topic "$2" ;;
        -w | --threadCount) workers=$2 ;;
        -s | --messageSize) set -- "$@" --size "$2" ;;
        -b | --batchSize) batch=$2 ;;
        -k | --keyEnable) set -- "$@" "--keys=$2" ;;
        -p | --propertySize) set -- "$@" --property-size "$2" ;;
        -l | --tagCount) set -- "$@" --tags "$2" ;;
        -m | --msgTraceEnable) off "$1" "$2" "$untraced" ;;
        -a | --aclEnable) off "$1" "$2" "$unsigned" ;;
        -c | --accessKey | -e | --secretKey) ;;
        *) unknown "$1" ;;
    esac
    shift 2
    words=$((words - 2))
done
start producer --workers "$workers" --batch "$batch" --duration 0 "$@"
