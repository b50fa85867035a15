#!/bin/sh
# A role for vault-authz in the auth method AppRole.
#
# Run it once, with a token that may set up auth methods, after
#   vault policy write vault-authz deploy/vault/kv-v1.hcl
# VAULT_ADDR and VAULT_TOKEN name the server and that token. MOUNT is the path of the
# auth method, which is enabled there if it is missing.
set -eu

MOUNT=${MOUNT:-approle}
vault auth list -format=json | grep -q "\"$MOUNT/\"" || {
    vault auth enable -path="$MOUNT" approle
    # By default five wrong logins lock the role for 15 minutes. A secret id cannot be
    # guessed, but anybody that knows the role id could lock vault-authz out.
    vault auth tune -user-lockout-disable=true "$MOUNT"
}

# Add secret_id_bound_cidrs and token_bound_cidrs where addresses are known.
vault write "auth/$MOUNT/role/vault-authz" \
    secret_id_ttl=720h \
    token_policies=vault-authz token_no_default_policy=true \
    token_ttl=1h token_max_ttl=24h

# The role id goes into the configuration:
vault read -field=role_id "auth/$MOUNT/role/vault-authz/role-id"

# The secret id goes into a file. Either itself,
#   vault write -f -field=secret_id auth/approle/role/vault-authz/secret-id
# or wrapped, so that it is seen by vault-authz only (login.approle.wrapped):
#   vault write -f -wrap-ttl=10m -field=wrapping_token auth/approle/role/vault-authz/secret-id
