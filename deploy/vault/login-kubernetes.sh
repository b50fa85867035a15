#!/bin/sh
# A role for vault-authz in the auth method Kubernetes.
#
# Run it once, with a token that may set up auth methods, after
#   vault policy write vault-authz deploy/vault/kv-v1.hcl
# VAULT_ADDR and VAULT_TOKEN name the server and that token. MOUNT is the path of the
# auth method, which is enabled there if it is missing.
#
# KUBERNETES_HOST is the API server as Vault reaches it. Where Vault does not run in
# the same cluster, KUBERNETES_CA_FILE is the authority of the API server, and
# REVIEWER_TOKEN_FILE the token of a service account that may review tokens
# (ClusterRole system:auth-delegator).
set -eu

MOUNT=${MOUNT:-kubernetes}
vault auth list -format=json | grep -q "\"$MOUNT/\"" || vault auth enable -path="$MOUNT" kubernetes

set -- kubernetes_host="${KUBERNETES_HOST:-https://kubernetes.default.svc}"
if [ -n "${KUBERNETES_CA_FILE:-}" ]; then
  set -- "$@" kubernetes_ca_cert=@"$KUBERNETES_CA_FILE" token_reviewer_jwt=@"$REVIEWER_TOKEN_FILE" disable_local_ca_jwt=true
fi
vault write "auth/$MOUNT/config" "$@"

# The service account "vault-authz" in the namespace "vault-authz", with a projected
# token for the audience "vault".
vault write "auth/$MOUNT/role/vault-authz" \
    bound_service_account_names=vault-authz \
    bound_service_account_namespaces=vault-authz \
    audience=vault \
    token_policies=vault-authz token_no_default_policy=true \
    token_ttl=1h token_max_ttl=24h
