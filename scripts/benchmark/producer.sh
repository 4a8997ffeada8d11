#!/bin/sh
# Sends messages as RocketMQ's benchmark producer does, with its options.
name=producer
here=$(dirname -- "$(readlink -f -- "$0")")
. "$here/common.sh"
options="-n -t -w -s -k -l -m -a -ak -sk -q -d -e -y -h, each but -h with a value"

workers=64
delayed=false
level=1
async=false
quantity=0
words=$#
while [ "$words" -gt 0 ]; do
    look_at "$1" "$words"
    case $1 in
        -n | --namesrvAddr) set -- "$@" --namesrv "$2" ;;
        -t | --topic) set -- "$@" --topic "$2" ;;
        -w | --threadCount) workers=$2 ;;
        -s | --messageSize) set -- "$@" --size "$2" ;;
        -k | --keyEnable) set -- "$@" "--keys=$2" ;;
        -l | --tagCount) set -- "$@" --tags "$2" ;;
        -q | --messageQuantity) quantity=$2 ;;
        -d | --delayEnable) delayed=$2 ;;
        -e | --delayLevel) level=$2 ;;
        -y | --asyncEnable) async=$2 ;;
        -m | --msgTraceEnable) off "$1" "$2" "$untraced" ;;
        -a | --aclEnable) off "$1" "$2" "$unsigned" ;;
        -ak | --accessKey | -sk | --secretKey) ;;
        *) unknown "$1" ;;
    esac
    shift 2
    words=$((words - 2))
done
# as many as the Java tool lets wait when it does not wait for each answer
[ "$async" = true ] && workers=10000
[ "$delayed" = true ] && set -- "$@" --delay-level "$level"
if [ "$quantity" != 0 ]; then
    set -- "$@" --messages "$quantity"
else
    set -- "$@" --duration 0
fi
start producer --workers "$workers" "$@"
