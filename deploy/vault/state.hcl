# What vault-authz needs of the KV version 2 engine at the mount "vault-authz",
# where what is made through the admin API is kept.
#
#   vault policy write vault-authz-state deploy/vault/state.hcl
#
# It belongs to the token of the vault object that state.vault names, on top of what
# that one has for its own mount (kv-v1.hcl or kv-v2.hcl). To make credentials
# through the admin API, manage-v1.hcl or manage-v2.hcl is needed as well.
#
# Change the mount here and in the configuration (state.mount) together.

path "vault-authz/data/*" {
  capabilities = ["create", "update", "read"]
}

path "vault-authz/metadata/*" {
  capabilities = ["list"]
}
