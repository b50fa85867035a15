#!/bin/sh
# A user for vault-authz in the auth method userpass.
#
# Run it once, with a token that may set up auth methods, after
#   vault policy write vault-authz deploy/vault/kv-v1.hcl
# VAULT_ADDR and VAULT_TOKEN name the server and that token. MOUNT is the path of the
# auth method, which is enabled there if it is missing.
#
# PASSWORD_FILE holds the password, without a newline at its end. Prefer another method:
# nothing replaces a password automatically.
set -eu

MOUNT=${MOUNT:-userpass}
vault auth list -format=json | grep -q "\"$MOUNT/\"" || vault auth enable -path="$MOUNT" userpass

vault write "auth/$MOUNT/users/vault-authz" \
    password=@"$PASSWORD_FILE" \
    token_policies=vault-authz token_no_default_policy=true \
    token_ttl=1h token_max_ttl=24h
