#!/bin/sh
# Ends the load tools that this user has started by the scripts beside it.
name=shutdown
here=$(dirname -- "$(readlink -f -- "$0")")
. "$here/common.sh"
case ${1:-} in
    producer) shut_down benchmark-producer "benchmark producer" ;;
    consumer) shut_down benchmark-consumer "benchmark consumer" ;;
    tproducer) shut_down benchmark-tproducer "benchmark transaction producer" ;;
    bproducer) shut_down benchmark-batchproducer "benchmark batch producer" ;;
    *) echo "Usage: shutdown producer | consumer | tproducer | bproducer" ;;
esac
