# What the scripts share: psql as the role nodewise over verified TLS, on one member or on whichever is the primary.
psql=${POSTGRESQL_BIN:+$POSTGRESQL_BIN/}psql
ca=${POSTGRESQL_CA:-/etc/nodewise/postgresql/ca.crt}
unset PGPASSWORD PGSERVICE PGHOST PGHOSTADDR PGOPTIONS
export PGUSER=nodewise PGDATABASE=nodewise PGPORT="${POSTGRESQL_PORT:-5432}" PGCONNECT_TIMEOUT=5 PGAPPNAME=nodewise-smoke \
  PGSSLMODE=verify-full PGSSLROOTCERT="$ca" PGPASSFILE="${POSTGRESQL_PASSFILE:-/etc/nodewise/postgresql/pgpass}"

fail() {
  echo "$*" >&2
  exit 1
}

skip() {
  echo "$*"
  exit 77
}

# The address of a member.
address_of() {
  for _pair in $NODEWISE_ADDRESSES; do
    [ "${_pair%%=*}" = "$1" ] && echo "${_pair#*=}" && return
  done
}

# The name of the member with an address.
name_of() {
  for _pair in $NODEWISE_ADDRESSES; do
    [ "${_pair#*=}" = "$1" ] && echo "${_pair%%=*}" && return
  done
}

# The addresses of all members, as libpq takes them.
addresses() {
  _all=
  for _member in $NODEWISE_MEMBERS; do
    _all="$_all${_all:+,}$(address_of "$_member")"
  done
  echo "$_all"
}

# One statement on one member, the rest being its words.
on() {
  _address=$(address_of "$1")
  shift
  "$psql" -XAtqw -v ON_ERROR_STOP=1 -d "host=$_address" "$@"
}

# One statement on a member of a kind (read-write, read-only, primary, standby), wherever that is.
on_a() {
  _kind=$1
  shift
  "$psql" -XAtqw -v ON_ERROR_STOP=1 -d "host=$(addresses) target_session_attrs=$_kind" "$@"
}

# The name of the one member that is the primary, as all members say.
primary() {
  _found=
  for _member in $NODEWISE_MEMBERS; do
    _replica=$(on "$_member" -c 'select pg_is_in_recovery()') || fail "$_member did not answer"
    [ "$_replica" = t ] || _found="$_found${_found:+ }$_member"
  done
  case $_found in
    '') fail "no member is a primary, expected one" ;;
    *' '*) fail "$_found are primaries, expected one" ;;
  esac
  echo "$_found"
}

# Ask a question until it is answered as expected, for ten seconds at most; the answer is left in $answer.
soon() {
  _expected=$1
  shift
  for _ in $(seq 100); do
    answer=$(on "$@") || fail "$1 did not answer"
    [ "$answer" = "$_expected" ] && return 0
    sleep 0.1
  done
  return 1
}
