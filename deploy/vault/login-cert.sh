#!/bin/sh
# A role for vault-authz in the auth method TLS certificates.
#
# Run it once, with a token that may set up auth methods, after
#   vault policy write vault-authz deploy/vault/kv-v1.hcl
# VAULT_ADDR and VAULT_TOKEN name the server and that token. MOUNT is the path of the
# auth method, which is enabled there if it is missing.
#
# CLIENT_CA_FILE is the authority that signs the client certificate, and CLIENT_NAME
# a DNS name in it.
set -eu

MOUNT=${MOUNT:-cert}
vault auth list -format=json | grep -q "\"$MOUNT/\"" || vault auth enable -path="$MOUNT" cert

vault write "auth/$MOUNT/certs/vault-authz" \
    certificate=@"$CLIENT_CA_FILE" allowed_dns_sans="$CLIENT_NAME" \
    token_policies=vault-authz token_no_default_policy=true \
    token_ttl=1h token_max_ttl=24h
