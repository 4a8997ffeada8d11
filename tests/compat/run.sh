#!/bin/bash
# RocketMQ's own integration tests (4.9.7, as compiled by upstream) against servers that already run.
# run.sh NAMESRV CLUSTER BROKER1 BROKER2 [classPattern]
#   NAMESRV       host:port of the name server; the two brokers are masters of CLUSTER with property filter (SQL92) on
#   classPattern  regular expression found in the full class name; without it all but the TLS tests and the slow delay test
#   QueryMsgByKeyIT uses a fixed topic and key: on the same stores it can pass only once in 500 seconds
# environment: TIMEOUT=600 seconds for one class, FRESH=1 a JVM for each class (else one for all), HEAP=512m,
#   CONSUME_MS=120000 the longest a test waits for its messages, OUT=target/compat/last (results.tsv, it.log, home/logs: replaced)
# Exit: 0 all passed, 1 some failed, 2 the runner itself could not work.
[ $# -ge 4 ] || { sed -n '2,9p' "$0"; exit 2; }
cd "$(dirname "$0")" || exit 2
T=../../target/compat
mkdir -p $T
if [ ! -f $T/built ] || [ -n "$(find pom.xml src -newer $T/built -print -quit)" ]; then
  mvn -q -B process-classes || exit 2
  touch $T/built
fi
OUT=${OUT:-$T/last}; case $OUT in /*) H=$OUT/home;; *) H=$PWD/$OUT/home;; esac
rm -rf "$OUT/home" "$OUT/results.tsv" "$OUT/it.log"; mkdir -p "$H"
CP="$T/classes:$T/lib/*"
list=$(java -Xmx128m -cp "$CP" it.Main list $T/lib/rocketmq-test-*-tests.jar "$5") || exit 2
[ -n "$list" ] || { echo "no test class matches $5"; exit 2; }
JAVA=(java -Xmx${HEAP:-512m} -Duser.home="$H" -Drocketmq.client.logRoot="$H/logs" -Drocketmq.client.logUseSlf4j=false
  -Drocketmq.client.localOffsetStoreDir="$H/offsets"
  --add-opens java.base/java.nio=ALL-UNNAMED --add-opens java.base/sun.nio.ch=ALL-UNNAMED --add-opens java.base/java.lang=ALL-UNNAMED)
"${JAVA[@]}" -cp "$CP" it.Main check "$1" "$2" "$3" "$4" 2>&1 | tee -a "$OUT/it.log" | grep '^it: '
[ ${PIPESTATUS[0]} = 0 ] || exit 2
left() { comm -23 <(echo "$list" | sort) <(awk -F'\t' '$2=="end"{print $1}' "$OUT/results.tsv" 2>/dev/null | sort); }
tries=0
while [ -n "$(left)" ]; do
  before=$(left | wc -l)
  "${JAVA[@]}" \
    -Dit.namesrv="$1" -Dit.cluster="$2" -Dit.broker1="$3" -Dit.broker2="$4" \
    -Dit.timeoutSeconds=${TIMEOUT:-600} -Dit.consumeTimeMs=${CONSUME_MS:-120000} ${FRESH:+-Dit.jvmPerClass=true} \
    -cp "$CP" it.Main run "$OUT/results.tsv" $list >> "$OUT/it.log" 2>&1
  # the JVM died without finishing a class: once more, then give up
  if [ "$(left | wc -l)" = "$before" ]; then tries=$((tries + 1)); [ $tries -ge 2 ] && break; fi
done
java -Xmx128m -cp "$CP" it.Main table "$OUT/results.tsv" $list
