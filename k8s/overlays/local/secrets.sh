#!/bin/sh
# Prints the Secrets of the local overlay, each value fresh. Once, before the rest:
#   k8s/overlays/local/secrets.sh | kubectl create -f -
# `create`, not `apply`: PostgreSQL keeps the passwords that its directory was made with.
set -eu

random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

secret_key=$(random) internal_token=$(random)
superuser=$(random) owner=$(random) server=$(random) valkey=$(random)

cat <<SECRETS
apiVersion: v1
kind: Secret
metadata:
  name: rtchat
  namespace: rtchat
stringData:
  secret-key: "$secret_key"
  internal-token: "$internal_token"
  database-url: "postgresql://rtchat:$server@postgres/rtchat"
  redis-urls: "redis://:$valkey@valkey"
---
apiVersion: v1
kind: Secret
metadata:
  name: rtchat-migrate
  namespace: rtchat
stringData:
  migrate-url: "postgresql://rtchat_owner:$owner@postgres/rtchat"
---
apiVersion: v1
kind: Secret
metadata:
  name: stores
  namespace: rtchat
stringData:
  postgres-password: "$superuser"
  owner-password: "$owner"
  rtchat-password: "$server"
  valkey-password: "$valkey"
SECRETS
