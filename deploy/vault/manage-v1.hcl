# What vault-authz needs to make, rotate, change, list and delete credentials through
# its admin API in a KV version 1 engine at the mount "kong-auth", on top of what
# kv-v1.hcl has for reading them.
#
#   vault policy write vault-authz-manage deploy/vault/manage-v1.hcl
#
# It belongs to the token of the vault object of that mount. Leave it out where
# nobody makes credentials through the admin API.
#
# It is not for a mount of version 2: there "kong-auth/+" is the settings of the engine.
#
# The path is written as in kv-v1.hcl: only then does what both allow add up.
# Change the mount in both together.
#
# For a folder in the mount (vaults[].prefix) docs/how-to/vault.md has the command that
# changes the paths.

path "kong-auth/+" {
  capabilities = ["create", "update", "delete"]
}

path "kong-auth/" {
  capabilities = ["list"]
}
