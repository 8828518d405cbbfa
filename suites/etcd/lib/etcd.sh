# What the scripts share: every member's URL, etcdctl with this node's certificate, and keys that are nobody else's.
export ETCDCTL_API=3
[ -z "$ETCD_USER" ] || export ETCDCTL_USER="$ETCD_USER:$ETCD_PASSWORD"
link=${ETCD_LINK:-${ETCD_ROOT:-/opt/nodewise/etcd}/current}
etcdctl=${ETCD_ETCDCTL:-$link/bin/etcdctl}
ca=${ETCD_CA:-/etc/nodewise/etcd/ca.crt}
cert=${ETCD_CERT:-/etc/nodewise/etcd/node.crt}
key=${ETCD_KEY:-/etc/nodewise/etcd/node.key}
prefix=/nodewise/smoke/$NODEWISE_RUN/$NODEWISE_HOST/$NODEWISE_ID

fail() {
  echo "$*" >&2
  exit 1
}

skip() {
  echo "$*"
  exit 77
}

# The value of a name in "name=value name=value".
value_of() {
  for _pair in $2; do
    [ "${_pair%%=*}" = "$1" ] && echo "${_pair#*=}" && return
  done
}

# The URL that clients of a member use.
url_of() {
  _url=$(value_of "$1" "$NODEWISE_CLIENT_URLS")
  _address=$(value_of "$1" "$NODEWISE_ADDRESSES")
  case $_address in *:*) _address="[$_address]" ;; esac
  echo "${_url:-https://$_address:2379}"
}

# etcdctl on one member, the rest being its words.
on() {
  _member=$(url_of "$1")
  shift
  case $_member in
    https:*) "$etcdctl" --endpoints "$_member" --cacert "$ca" --cert "$cert" --key "$key" --command-timeout 5s "$@" ;;
    *) "$etcdctl" --endpoints "$_member" --command-timeout 5s "$@" ;;
  esac
}

# A lease under which all is written, so that it goes away even if we cannot remove it.
lease() {
  on "$NODEWISE_HOST" lease grant "${1:-60}" | awk '{print $2}'
}
