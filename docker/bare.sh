#!/bin/sh
# What the image does, where there is no container engine: the steps of the Dockerfile in a bare
# virtual environment, then both of its commands with a read-only root and a tmpfs, as a user
# without a name.
#
#   docker/bare.sh MODEL_FOLDER AUDIO      as root; takes minutes, and the index of Python packages
#
# Writes the transcript, and what the server says of itself.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d /var/tmp/stentor-image.XXXXXX)
home=/home/smuser # a tmpfs is mounted there, for which there has to be a folder
[ -d "$home" ] || made=$home
mkdir -p "$home"
trap 'rm -rf "$place"; [ -z "${made:-}" ] || rmdir "$home"' EXIT
trap 'exit 1' INT TERM

mkdir "$place/src" "$place/model"
for name in pyproject.toml README.md streaming batch server clients; do
  cp -r "$root/$name" "$place/src/"
done
"${PYTHON:-python3}" -m venv "$place/stentor"
"$place/stentor/bin/pip" install --quiet \
  --extra-index-url "${TORCH_INDEX-https://download.pytorch.org/whl/cpu}" "$place/src"
"$place/stentor/bin/python" -m compileall -q -j 0 -x /torch/testing/ "$place/stentor/lib"
find -L "$1" -maxdepth 1 -type f -exec cp -L {} "$place/model/" \;
cp "$2" "$place/audio"
cp "$root/docker/entrypoint.sh" "$root/docker/ask.py" "$place/"
chmod -R a+rX "$place"

base=$("$place/stentor/bin/python" -c 'import sys; print(sys.base_prefix)')
BASE=$base PLACE=$place unshare --mount sh -eu <<'CONFINED'
mount --make-rprivate /
mount -t tmpfs -o mode=1777 tmpfs /home/smuser
case "$BASE" in # nobody may look into it
  /root/*)
    mount --bind "$BASE" /mnt
    mount -t tmpfs tmpfs /root
    mkdir -p "$BASE"
    mount --bind /mnt "$BASE"
    ;;
esac
for at in / /tmp /var/tmp /dev/shm; do
  mountpoint -q "$at" || mount --bind "$at" "$at"
  mount -o remount,bind,ro "$at"
done
if touch /tmp/written 2>/dev/null; then exit 99; fi
KEY=0123456789abcdef0123456789abcdef

as_nobody() {
  setpriv --reuid 54321 --regid 54321 --clear-groups --no-new-privs env -i \
    PATH="$PLACE/stentor/bin:/usr/bin:/bin" HOME=/home/smuser PYTHONDONTWRITEBYTECODE=1 \
    STENTOR_MODEL="$PLACE/model" STENTOR_HOST=0.0.0.0 STENTOR_KEYS="$KEY" HF_HUB_OFFLINE=1 "$@"
}

cd /
as_nobody "$PLACE/entrypoint.sh" < "$PLACE/audio"
echo "left behind: $(find /home/smuser -type f | wc -l) files"

as_nobody STENTOR_PORT=18765 "$PLACE/entrypoint.sh" rt &
server=$!
as_nobody python "$PLACE/ask.py" 127.0.0.1:18765 "$KEY" "$PLACE/audio" || failed=$?
kill "$server"
wait "$server"
exit "${failed:-0}"
CONFINED
