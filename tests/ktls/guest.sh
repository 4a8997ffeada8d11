# In the virtual machine of tests/ktls/run. Each check is a line `passed: ...` or `failed: ...`.
export PATH=/bin HOME=/root
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev 2>/dev/null
mkdir -p /dev/shm
mount -t tmpfs none /dev/shm
mount -t tmpfs none /tmp
mount -o remount,rw /
ln -sf /bin/busybox /sbin/modprobe
ip link set lo up
ulimit -l unlimited
ulimit -n 65536
cd /root || exit 1
. /root/how

# check NAME COMMAND...: what it says is shown if it fails
check() {
  name=$1
  shift
  if "$@" >/tmp/said 2>&1; then
    echo "passed: $name"
  else
    echo "failed: $name"
    tail -60 /tmp/said
  fi
}

# stat NAME: a counter of the kernel
stat() {
  awk -v name="$1" '$1 == name { print $2 }' /proc/net/tls_stat
}

more_connections() {
  now=$(($(stat TlsTxSw) + $(stat TlsRxSw)))
  echo "$1 before, $now now"
  [ "$now" -gt "$1" ]
}

# client VERSION ARGUMENT...: what OpenSSL says when it is told these lines
client() {
  input=$1
  shift
  # a handshake takes its time where all is emulated
  { sleep 5; printf "$input"; sleep 2; } | openssl s_client -connect localhost:10911 -CAfile server.pem "$@" 2>&1
}

# said TIMES TEXT: the server has said this so often, or does within 30 s
said() {
  tries=0
  while [ "$(grep -c "$2" /tmp/server)" -lt "$1" ]; do
    [ $tries -lt 300 ] || return 1
    tries=$((tries + 1))
    usleep 100000
  done
}

served() {
  grep -q 'Verify return code: 0' /tmp/client && ! grep -qiE 'alert|error:' /tmp/client
}

echo "Linux $(uname -r), $(cat /proc/cpuinfo | grep -c ^processor) processors"
ringmq doctor 2>&1 | grep -A1 'TLS in the kernel' || true
[ -e /proc/net/tls_stat ] || modprobe tls
check 'the kernel has TLS' test -e /proc/net/tls_stat
ringmq doctor 2>&1 | grep -A1 'TLS in the kernel'

before=$(($(stat TlsTxSw) + $(stat TlsRxSw)))
export RINGMQ_IT_BINARY=/bin/ringmq
if [ "$SHORT" = yes ]; then
  tests=tls::kernel::every_suite_is_served_and_the_kernel_has_the_connections_where_it_can::shards_2
  tests="$tests tls::kernel::keys_change_where_they_can_and_else_the_connection_ends_with_the_reason::shards_2"
  messages=300
  check 'tests of the kernel' it --test-threads 1 --exact $tests
else
  messages=20000
  check 'tests of TLS' it tls:: --test-threads 2
  check 'the doctor' it doctor::the_machine --test-threads 1
fi
tail -4 /tmp/said
export -n RINGMQ_IT_BINARY
check 'the kernel had connections of the tests' more_connections "$before"

RINGMQ_LOG=info ringmq standalone --store /root/store --set tls.server.mode=enforcing --set brokerIP1=127.0.0.1 --set mappedFileSizeCommitLog=67108864 \
  --set tls.server.certPath=/root/server.pem --set tls.server.keyPath=/root/server.key >/tmp/server 2>&1 &
server=$!
tries=0
while ! grep -q 'registered' /tmp/server && [ $tries -lt 600 ]; do usleep 100000; tries=$((tries + 1)); done
grep -m1 'TLS in' /tmp/server

before=$(($(stat TlsTxSw) + $(stat TlsRxSw)))
check 'the load tool, all messages verified' ringmq bench both -n 127.0.0.1:9876 -t T -q $messages -c 4 -d 8 -s 20000 --verify \
  --tls --tls-trust server.pem
tail -3 /tmp/said
check 'the kernel had its connections' more_connections "$before"
check 'administration' ringmq admin clusterList -n 127.0.0.1:9876 --tls --tls-trust server.pem

for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
  client '' -tls1_3 -ciphersuites $suite >/tmp/client
  check "OpenSSL, TLS 1.3, $suite" served
done
for suite in ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305; do
  client '' -tls1_2 -cipher $suite >/tmp/client
  check "OpenSSL, TLS 1.2, $suite" served
done
# k: the client changes its keys; K: it wants that of the server, too
changes=0
for ask in k K; do
  changes=$((changes + 1))
  client "$ask\\n" -tls1_3 >/tmp/client
  grep -q '^KEYUPDATE$' /tmp/client && echo "OpenSSL has sent a KeyUpdate ($ask)"
  if grep -q 'no changes of keys' /tmp/server; then
    check "a KeyUpdate ($ask) is refused with the reason" said $changes 'its peer changes keys (KeyUpdate)'
  else
    check "a KeyUpdate ($ask) is taken" sh -c '! grep -q "connection closed" /tmp/server'
  fi
done
kill -TERM $server
wait $server
check 'the server ends well' test $? = 0
grep -E ' (WARN|ERROR) ' /tmp/server | grep -v 'this machine' | head -20
cat /proc/net/tls_stat
check 'no record could not be opened' test "$(stat TlsDecryptError)" = 0
dmesg | grep -iE 'BUG|WARNING|Oops' | head -5
echo ended
sync
poweroff -f
