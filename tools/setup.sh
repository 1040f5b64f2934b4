#!/bin/sh
# Brings .venv up to date for the make commands. Where nothing is to be done it says nothing and takes a moment.
# An environment of ours that was cut short, broken, moved, or made for another Python or torch is made anew;
# one that somebody else made is left alone.
#
#   PYTHON  the Python to use; unset: the first of $candidates that fits
#   TORCH   cpu: the small build of torch; default: the package registry's; unset: stay with what is there
#
# POSIX sh and no GNU tools, for the shells and tools of macOS.
set -eu
cd "$(dirname "$0")/.."
candidates="python3.13 python3.12 python3.11 python3 python"
PYTHON=${PYTHON:-}
TORCH=${TORCH:-}
stamp=.venv/.ready
in_venv=.venv/bin/python

say() { printf '%s\n' "$*"; }
fail() { printf '\n%s\n' "$*" >&2; exit 1; }
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
version() { "$1" -c 'import sys; print(sys.version)'; }

case $TORCH in '' | cpu | default) ;; *) fail "TORCH=$TORCH is not known: say TORCH=cpu or TORCH=default." ;; esac
if [ -n "$PYTHON" ] && ! fits "$PYTHON"; then fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13."; fi

# What the environment is made from. When only this has changed, the environment is updated in place.
key=$({ cat requirements.txt requirements-uv.txt pyproject.toml tools/*.sh tools/jupyter/*.* tools/jupyter/*/*.* tools/nbconvert/*; } | cksum)

if [ -e .venv ] && [ ! -f $stamp ]; then
    fail "There is a .venv here that these commands did not make, and they would overwrite it.
Move it out of the way (mv .venv venv-of-mine), then type the same command again."
fi
built= built_in= built_from=
if [ -f $stamp ] && fits $in_venv; then
    { read -r built && read -r built_in && read -r built_from; } <$stamp || built=
fi
TORCH=${TORCH:-${built:-default}}
fresh=yes
if [ "$built" = "$TORCH" ] && [ "$built_in" = "$PWD" ]; then
    if [ -z "$PYTHON" ] || [ "$(version "$PYTHON")" = "$(version $in_venv)" ]; then fresh=no; fi
fi
if [ $fresh = no ] && [ "$built_from" = "$key" ]; then exit 0; fi

if [ $fresh = yes ]; then
    without_venv=
    for candidate in ${PYTHON:+"$PYTHON"} $candidates; do
        if [ -n "$PYTHON" ] && [ "$candidate" != "$PYTHON" ]; then break; fi
        fits "$candidate" || continue
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then chosen=$candidate; break; fi
        without_venv=$candidate
    done
    if [ -z "${chosen:-}" ] && [ -n "$without_venv" ]; then
        fail "$without_venv cannot make an environment: its modules venv and ensurepip are missing.
On Debian and Ubuntu they are a package of their own: sudo apt install python3-venv
Then type the same command again, or name another Python: make lab PYTHON=/path/to/python3.12"
    elif [ -z "${chosen:-}" ]; then
        fail "No Python 3.11, 3.12 or 3.13 was found (looked for $candidates).
Install one (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python@3.13),
or name one: make lab PYTHON=/path/to/python3.12"
    fi
    say "Setting up the course in .venv. The first time takes some minutes."
    say "Outside this folder only the downloads are kept (.venv/bin/uv cache clean frees them)."
    say "- Python: $(command -v "$chosen") ($("$chosen" -c 'import platform; print(platform.python_version())'))"
    rm -rf .venv
    mkdir .venv
    : >$stamp # empty until all is done
    "$chosen" -m venv .venv || fail "$chosen could not make an environment (see above)."
else
    say "Updating the course's environment in .venv."
fi
: >$stamp

install() { .venv/bin/uv pip install --python $in_venv "$@"; }
stopped="The set-up stopped: see the lines above. It needs the package registry (behind a proxy: its address in
HTTPS_PROXY) and about 6 GB of disk (a CPU-only torch needs about 1.5 GB: make lab TORCH=cpu).
The same command tries again."
untrusted="The set-up stopped, since the package registry's certificate was not accepted: see the lines above.
Most likely a proxy of your network answers in its place, with a certificate of its own. Put the path of
a file that has this certificate (.pem; whoever runs the network knows it) in SSL_CERT_FILE:
    SSL_CERT_FILE=/path/to/certificates.pem make lab"
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-120}" # a slow line is no reason to give up
if [ -n "${SSL_CERT_FILE:-}" ]; then # uv reads it, pip has a variable of its own
    export PIP_CERT="${PIP_CERT:-$SSL_CERT_FILE}"
fi

# Run a command that needs the registry, a second time if it fails: a fault of the network may pass.
# If it fails again, stop with the message $1, or with the one on certificates where the errors name them.
fetch() {
    message=$1
    shift
    "$@" && return
    say "  This failed. It is tried a second time, which shows no progress."
    "$@" 2>.venv/errors && return
    cat .venv/errors >&2
    case $(cat .venv/errors) in *ertificate* | *CERTIFICATE* | *TLS* | *SSL*) message=$untrusted ;; esac
    fail "$message"
}

say "- the installer, uv"
fetch "$stopped" $in_venv -m pip install --quiet --disable-pip-version-check --require-hashes \
    --only-binary :all: -r requirements-uv.txt
if [ "$TORCH" = cpu ]; then
    # uv itself knows where the CPU builds are. Our hashes are the registry's, so these two go in by version.
    pins=$(sed -n 's/^\(torch==[^ ]*\) .*/\1/p; s/^\(torchvision==[^ ]*\) .*/\1/p' requirements.txt)
    say "- torch for CPUs:" $pins
    fetch "The small build of torch could not be fetched.
Plain \`make lab TORCH=default\` takes torch from where all other packages come from (about 6 GB of disk)." \
        install --no-deps --torch-backend cpu $pins
    awk '/^[a-z0-9]/ { drop = /^(torch|torchvision|triton|cuda-[a-z-]*|nvidia-[a-z0-9-]*)==/ } !drop' \
        requirements.txt >.venv/requirements.txt
else
    cp requirements.txt .venv/requirements.txt
fi
say "- the packages of requirements.txt, at their pinned versions"
fetch "$stopped" install --require-hashes -r .venv/requirements.txt
say "- the course itself, and JupyterLab's quiet settings"
install --quiet --no-deps --no-build-isolation -e . || fail "$stopped"
sh tools/settings.sh .venv
printf '%s\n%s\n%s\n' "$TORCH" "$PWD" "$key" >$stamp
say "Set up."
