#!/bin/sh
# A user for vault-authz in the auth method userpass.
#
# It is run by somebody who may set up auth methods, once, after
#   vault policy write vault-authz deploy/vault/kv-v1.hcl
# VAULT_ADDR and VAULT_TOKEN say where and as whom. MOUNT is where the auth method
# is, or is to be.
#
# PASSWORD_FILE holds the password, without a newline at its end. Where there is a
# choice, take another method: nothing replaces a password by itself.
set -eu

MOUNT=${MOUNT:-userpass}
vault auth list -format=json | grep -q "\"$MOUNT/\"" || vault auth enable -path="$MOUNT" userpass

vault write "auth/$MOUNT/users/vault-authz" \
    password=@"$PASSWORD_FILE" \
    token_policies=vault-authz token_no_default_policy=true \
    token_ttl=1h token_max_ttl=24h
