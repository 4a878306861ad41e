#!/bin/sh
# Makes the passwords and keys of a new installation, a file each, for infra/compose.yaml or for /etc/liuhen/secrets.
#
#   infra/secrets.sh DIRECTORY [POSTGRES HOST:PORT] [RABBITMQ HOST:PORT]
#
# What is there already is left alone: a directory that holds one of them is refused. Nothing is printed but the directory. The directory is
# closed to all but its owner; the files in it are readable, because a container's account is another.
set -eu

if [ $# -lt 1 ]; then
    echo "usage: infra/secrets.sh DIRECTORY [POSTGRES HOST:PORT] [RABBITMQ HOST:PORT]" >&2
    exit 2
fi
directory=$1
postgres=${2:-postgres:5432}
rabbitmq=${3:-rabbitmq:5672}

if [ -e "$directory/roles.sql" ] || [ -e "$directory/s3_secret_key" ]; then
    echo "$directory holds secrets already; they are not made anew" >&2
    exit 1
fi
mkdir -p "$directory"
chmod 0700 "$directory"

word() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}
keep() {
    printf '%s' "$2" >"$directory/$1"
    chmod 0444 "$directory/$1"
}

{
    echo "-- Read by PostgreSQL once, when its cluster is made. Rights are given by \`liuhen admin migrate\`."
    for role in migrate web worker audit; do
        password=$(word)
        keep "database_url_$role" "postgresql://liuhen_$role:$password@$postgres/liuhen"
        echo "CREATE ROLE liuhen_$role LOGIN PASSWORD '$password';"
    done
    echo "ALTER DATABASE liuhen OWNER TO liuhen_migrate;"
} >"$directory/roles.sql.new"
chmod 0444 "$directory/roles.sql.new"
mv "$directory/roles.sql.new" "$directory/roles.sql"

password=$(word)
keep broker_url "amqp://liuhen:$password@$rabbitmq/liuhen"
keep rabbitmq.conf "default_vhost = liuhen
default_user = liuhen
default_pass = $password
"
keep postgres_password "$(word)"
keep metrics_token "$(word)"
keep s3_access_key "$(word | cut -c 1-20)"
keep s3_secret_key "$(word)"
# Of a second object store, if there will be one: for whoever runs it, or to be written over with what they give.
keep replica_access_key "$(word | cut -c 1-20)"
keep replica_secret_key "$(word)"
echo "$directory"
