#!/bin/sh
# Starts Valkey for the pods: one user for them, who may do what a pod does on its own keys and channels
# (docs/security.md), with the password of the URL that they get; and one for the health check, who may
# ping. It keeps nothing. The settings go in by a pipe: on a command line `ps` would show them.
set -eu
urls=$(cat "${SECRETS_PATH:-/run/secrets}/redis_urls")
password=$(printf %s "$urls" | sed -n 's|^redis://rtchat:\([^@:/?%,]*\)@[^@,]*$|\1|p')
if [ -z "$password" ]; then
  echo 'redis_urls is to be redis://rtchat:PASSWORD@valkey:6379, of letters and digits' >&2
  exit 1
fi
hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
# A TTL is on each of rtchat's keys, so what ends soonest goes first where memory is short. A burst in
# a large channel may wait for its pods to 64 MB, and for a minute beyond 32 MB.
exec valkey-server - <<SETTINGS
bind ${VALKEY_BIND:-*}
protected-mode no
port ${VALKEY_PORT:-6379}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy volatile-ttl
client-output-buffer-limit pubsub 64mb 32mb 60
user default off
user probe on nopass resetchannels resetkeys -@all +ping
user rtchat on #$hash resetchannels &rtchat:* resetkeys ~rtchat:* -@all +ping +quit +client|setname +client|setinfo +publish +subscribe +unsubscribe +set +get +getdel +del +eval +evalsha +time
SETTINGS
