#!/bin/bash
# Asks a running instance on this machine: probe.sh PATH [PORT]. Succeeds on 200, and prints the answer's last line,
# which says what a refusal waits for. Bash's own sockets, because a slim image has no HTTP client.
set -euo pipefail

exec 3<>"/dev/tcp/127.0.0.1/${2:-9464}"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
IFS= read -r status <&3
tail -n 1 <&3
[[ $status == "HTTP/1.1 200 "* ]]
