# Ends what lives in a folder when its last user is gone.
#
#   FOLDER GRACE STOP...
#
# The folder's users hold the pipe open that is the standard input here, and write a line when
# they come. When nobody holds it any more, this waits GRACE seconds for another user, withdraws
# what is published, runs STOP, and removes the folder.
trap '' HUP INT QUIT
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
folder=$1 grace=$2
shift 2
echo $$ >"$folder/keeper"

# Waits until nobody holds the pipe; says whether anybody came since the last time.
somebody_came() {
    came=false
    while read -r _; do came=true; done
    $came
}

while somebody_came; do sleep "$grace"; done
rm -f "$folder/url"
# Whoever came before it was withdrawn may stay as long as it takes.
while somebody_came; do :; done

"$@"
for attempt in 1 2 3 4 5; do
    rm -rf "$folder" && break
    sleep 1 # something was still being written
done
rmdir "${folder%/*}"
