#!/bin/sh
# Gives an environment JupyterLab's quiet settings, and pages that keep the pictures' alternative texts:
#   sh tools/settings.sh PREFIX
set -eu
tools=$(dirname "$0")
templates=$1/share/jupyter/nbconvert/templates/dgmcourse
mkdir -p "$1/etc/jupyter" "$templates"
cp -R "$tools/jupyter/." "$1/etc/jupyter/"
cp "$tools"/nbconvert/* "$templates/"
