#!/bin/sh
# The service is not started at the first installation: its configuration names no
# Vault yet. An upgrade restarts it if it runs.
set -e
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers vault-authz.conf
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart vault-authz.service
fi
