# Installs packages of Debian or Ubuntu; makes no cluster, starts and enables no service.
set -eu
export DEBIAN_FRONTEND=noninteractive

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

is_known() { [ -n "$(apt-cache show "$1" 2>/dev/null)" ]; }
install() { apt-get install -y --no-install-recommends "$@"; }

for package; do
    is_known "$package" || { apt-get update && break; }
done
case " $* " in
*" postgresql "*)
    install postgresql-common
    echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
    ;;
esac
# What is known may be out of date.
install "$@" || { apt-get update && install "$@"; }
case " $* " in
*" pgbouncer "*)
    # That also works where systemd is installed but not running.
    if command -v systemctl >/dev/null; then systemctl disable pgbouncer; fi
    ;;
esac
