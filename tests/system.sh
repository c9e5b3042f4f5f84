# Sourced by tests/run, tests/conformance and tests/attack: a system of their own, in a directory of their own, and its end.
# Before: $root is the repository. After `make_place`: $work, and nothing of it remains when the script ends.

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

make_place() {
  work=$(mktemp -d /var/tmp/wharfinger-tests.XXXXXX)
  chmod 755 "$work"
  wharfinger=$root/target/release/wharfinger data=$work/data helpers=$work/helpers keep=${keep:-} pids=() up_pid=''
  trap finish EXIT
  trap 'exit 130' INT TERM
}

finish() {
  status=$?
  trap - EXIT INT TERM
  if [ -n "$keep" ] && [ -n "$up_pid" ]; then
    echo "left running: eval \"\$($wharfinger --data-dir $data env)\"; to end it: $wharfinger --data-dir $data down --purge"
    exit "$status"
  fi
  if [ "$status" -ne 0 ] && [ -d "$data/log" ]; then
    echo "--- the last lines of the system's logs"
    tail -n 15 "$data"/log/*.log "$work"/*.log 2>/dev/null || true
  fi
  [ -x "$wharfinger" ] && "$wharfinger" --data-dir "$data" down --purge >/dev/null 2>&1 || true
  for pid in $up_pid "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
  exit "$status"
}

# The programs that run beside containers, as deploy/up installs them.
put_helpers() {
  mkdir -p "$helpers"
  cp "$root/target/release/wharfinger-logger" "$root/target/release/wharfinger-enter" "$helpers/"
  cp "$(command -v tini-static)" "$helpers/docker-init"
}

# A private PostgreSQL that forgets at a crash (it is for tests): DATABASE_URL.
start_postgres() {
  local bin
  bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
  mkdir -m 700 "$work/pg" "$work/pgsock"
  chown postgres: "$work/pg" "$work/pgsock"
  (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups \
    "$bin/initdb" -D "$work/pg/data" -U wharfinger --auth=trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null)
  (cd / && exec setpriv --reuid=postgres --regid=postgres --clear-groups "$bin/postgres" -D "$work/pg/data" -k "$work/pgsock" \
    -c listen_addresses= -c fsync=off -c max_connections=300 >"$work/postgres.log" 2>&1) &
  pids+=($!)
  for _ in $(seq 100); do psql -h "$work/pgsock" -U wharfinger -d postgres -qAtc 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
  export DATABASE_URL="postgres://wharfinger@localhost/postgres?host=$work/pgsock"
}

# A plain registry with library/busybox and library/multi: $registry.
start_registry() {
  "$root/tests/make_rootfs" "$work/busybox.tar"
  registry=127.0.0.1:$(free_port)
  printf 'version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: %s/registry}, delete: {enabled: true}}\nhttp: {addr: "%s"}\n' \
    "$work" "$registry" >"$work/registry.yml"
  docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
  pids+=($!)
  for _ in $(seq 100); do curl -sf "http://$registry/v2/" >/dev/null && break; sleep 0.1; done
  python3 "$root/tests/seed_registry.py" "$registry" "$work/busybox.tar"
}

# Three hosts that may use $registry, also as the mirror of the default one. Further words are for `up`.
start_system() {
  "$wharfinger" --data-dir "$data" up --hosts 3 --listen "127.0.0.1:$(free_port)" --helpers "$helpers" \
    --insecure-registry "$registry" --registry-mirror "http://$registry" "$@" >"$work/up.log" 2>&1 &
  up_pid=$!
  for _ in $(seq 600); do
    [ -e "$data/run/ready" ] && return 0
    kill -0 "$up_pid" 2>/dev/null || break
    sleep 0.1
  done
  cat "$work/up.log"
  echo "the system did not become ready"
  exit 1
}
