#!/bin/sh
# Makes the secrets of docker-compose.yml, once: a file each, for their owner's group to read. What is
# there already stays: PostgreSQL keeps the passwords that its volume was made with.
#   sh docs/deploy/secrets.sh [DIRECTORY]        (or what SECRETS says, there or in .env, or .secrets)
set -eu
named=$([ -f .env ] && sed -n 's/^SECRETS=//p' .env | tail -n 1 || :)
directory=${1:-${SECRETS:-${named:-.secrets}}}
umask 077
mkdir -p "$directory"
random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
make() {
  [ -e "$directory/$1" ] && return
  printf %s "$2" >"$directory/$1"
  chmod 0440 "$directory/$1"
  echo "made $directory/$1"
}
make secret_key "$(random)"
make internal_token "$(random)"
make postgres_password "$(random)"
make grafana_password "$(random)"
make migrate_url "postgresql://rtchat_owner:$(random)@postgres:5432/rtchat"
make database_url "postgresql://rtchat:$(random)@postgres:5432/rtchat"
make redis_urls "redis://rtchat:$(random)@valkey:6379"
group=$(id -g)
[ "$group" = 1000 ] || echo "their group is $group: in .env, SECRETS_GID=$group"
