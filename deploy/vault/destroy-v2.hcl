# What vault-authz needs to destroy earlier versions of credentials in a KV version 2
# engine at the mount "kong-auth", on top of kv-v2.hcl and manage-v2.hcl: for
# "vault-authz credential rehash --destroy-old-versions", which leaves no secret in
# clear text behind.
#
#   vault policy write vault-authz-destroy deploy/vault/destroy-v2.hcl
#
# It belongs to the token of the vault object of that mount, and can be taken away from
# it when the command has ended.
#
# The paths are written as in manage-v2.hcl: only then does what both allow add up.
# Change the mount in both together.
#
# For a folder in the mount (vaults[].prefix) docs/how-to/vault.md has the command that
# changes the paths.

# To see which versions there are.
path "kong-auth/metadata/+" {
  capabilities = ["read"]
}

path "kong-auth/destroy/+" {
  capabilities = ["update"]
}
