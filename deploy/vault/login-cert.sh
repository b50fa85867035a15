#!/bin/sh
# A role for vault-authz in the auth method TLS certificates.
#
# It is run by somebody who may set up auth methods, once, after
#   vault policy write vault-authz deploy/vault/kv-v1.hcl
# VAULT_ADDR and VAULT_TOKEN say where and as whom. MOUNT is where the auth method
# is, or is to be.
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
