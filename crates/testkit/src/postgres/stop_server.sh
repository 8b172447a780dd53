# Stops the server of a folder, frozen or not, and removes the memory that a killed one left.
#
#   FOLDER PG_CTL
data=$1/data
[ -f "$data/postmaster.pid" ] || exit 0
read -r pid <"$data/postmaster.pid"
memory=$(sed -n 7p "$data/postmaster.pid" | awk '{ print $1 }')

# Since the machine was started anew, the number may be another process's.
is_server() {
    { tr '\0' ' ' <"/proc/$pid/cmdline" || ps -o args= -p "$pid"; } | grep -qF "$data"
}

if is_server; then
    kill -CONT "$pid"
    "$2" stop -D "$data" -m immediate -t 60 || kill -KILL "$pid"
elif [ -n "$memory" ]; then
    ipcrm -M "$memory"
fi
