# What vault-authz needs to make, rotate, change, list and delete credentials through
# its admin API in a KV version 2 engine at the mount "kong-auth", on top of what
# kv-v2.hcl has for reading them.
#
#   vault policy write vault-authz-manage deploy/vault/manage-v2.hcl
#
# It belongs to the token of the vault object of that mount. Leave it out where
# nobody makes credentials through the admin API.
#
# The paths are written as in kv-v2.hcl: only then does what both allow add up.
# Change the mount in both together.
#
# For a folder in the mount (vaults[].prefix) docs/how-to/vault.md has the command that
# changes the paths.

path "kong-auth/data/+" {
  capabilities = ["create", "update"]
}

# A credential is deleted with all its versions, so that nobody brings it back.
path "kong-auth/metadata/+" {
  capabilities = ["delete"]
}

path "kong-auth/metadata/" {
  capabilities = ["list"]
}
