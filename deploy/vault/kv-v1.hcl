# What vault-authz needs of a KV version 1 engine at the mount "kong-auth":
# to read the records, one path segment below the mount, to list their keys, and
# nothing else.
#
#   vault policy write vault-authz deploy/vault/kv-v1.hcl
#
# The files login-*.sh beside this one make a role with it.
#
# All files of this folder can be together on one token: they write the same path in
# the same way, so that what they allow adds up. Paths that are written in different
# ways do not add up: beside this file, a policy of your own for "kong-auth/*" does
# nothing for "kong-auth/KEY", because Vault uses the path with "+".
#
# Change the mount here and in the configuration (vaults[].mount) together.
#
# For a folder in the mount (vaults[].prefix) docs/how-to/vault.md has the command that
# changes the paths.

path "kong-auth/+" {
  capabilities = ["read"]
}

# With this vault-authz notices within a minute that a record was deleted
# (cache.sweep). Leave it out, and set cache.sweep to 0, to keep it from learning
# the access tokens that nobody has presented.
path "kong-auth/" {
  capabilities = ["list"]
}

# What follows is about the token itself. The policy "default" grants it too, but
# the sample roles leave that one out.

# To see how long the token lives, and to tell a token that Vault no longer takes
# from one whose policies do not cover the mount.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

# To keep the token alive.
path "auth/token/renew-self" {
  capabilities = ["update"]
}

# To revoke the token at a stop, if it came from a login.
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
