#!/bin/sh
# Not at an upgrade, of which dpkg says "upgrade" and rpm 1.
set -e
case "${1:-}" in
remove | 0)
    if [ -d /run/systemd/system ]; then
        systemctl disable --now vault-authz.service
    fi
    ;;
esac
