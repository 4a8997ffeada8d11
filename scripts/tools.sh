#!/bin/sh
# Runs what RocketMQ's tutorials run by the names of Java classes.
name=tools.sh
bin=$(dirname -- "$(readlink -f -- "$0")")
. "$bin/common.sh"
class=${1:-}
[ $# -eq 0 ] || shift
case $class in
    org.apache.rocketmq.example.quickstart.Producer) set -- example quickstart-producer "$@" ;;
    org.apache.rocketmq.example.quickstart.Consumer) set -- example quickstart-consumer "$@" ;;
    org.apache.rocketmq.tools.command.MQAdminStartup) set -- admin "$@" ;;
    *)
        fail "there is no ${class:-class to run}; there are org.apache.rocketmq.example.quickstart.Producer, \
org.apache.rocketmq.example.quickstart.Consumer and org.apache.rocketmq.tools.command.MQAdminStartup"
        ;;
esac
find_ringmq
exec "$ringmq" "$@"
