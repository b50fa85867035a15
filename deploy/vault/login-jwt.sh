#!/bin/sh
# A role for vault-authz in the auth method JWT.
#
# Run it once, with a token that may set up auth methods, after
#   vault policy write vault-authz deploy/vault/kv-v1.hcl
# VAULT_ADDR and VAULT_TOKEN name the server and that token. MOUNT is the path of the
# auth method, which is enabled there if it is missing.
#
# JWKS_URL has the keys of the issuer, ISSUER and SUBJECT are what the tokens have
# as iss and sub.
set -eu

MOUNT=${MOUNT:-jwt}
vault auth list -format=json | grep -q "\"$MOUNT/\"" || vault auth enable -path="$MOUNT" jwt

vault write "auth/$MOUNT/config" jwks_url="$JWKS_URL" bound_issuer="$ISSUER"

vault write "auth/$MOUNT/role/vault-authz" \
    role_type=jwt user_claim=sub \
    bound_subject="$SUBJECT" bound_audiences=vault \
    token_policies=vault-authz token_no_default_policy=true \
    token_ttl=1h token_max_ttl=24h
