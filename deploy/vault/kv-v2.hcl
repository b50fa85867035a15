# What vault-authz needs of a KV version 2 engine at the mount "kong-auth":
# to read the current version of the records, to list their keys, and nothing
# else.
#
#   vault policy write vault-authz deploy/vault/kv-v2.hcl
#   vault token create -policy=vault-authz -orphan -field=token
#
# Change the mount here and in the configuration (vaults[].mount) together, and
# set vaults[].kv to v2.

path "kong-auth/data/+" {
  capabilities = ["read"]
}

# With this vault-authz notices within a minute that a record was deleted
# (cache.sweep). Leave it out, and set cache.sweep to 0, to keep it from learning
# the access tokens that nobody has presented.
path "kong-auth/metadata/" {
  capabilities = ["list"]
}

# With this vault-authz can tell a token that Vault no longer takes from one
# whose policies do not cover the mount, and says in its log which it is. The
# policy "default", which tokens have unless it is left out on purpose, grants
# it already.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
