# What vault-authz needs of the KV version 2 engine at the mount "vault-authz",
# where what is made through the admin API is kept. Add it to the token of the
# vault object that state.vault names.

path "vault-authz/data/*" {
  capabilities = ["create", "update", "read"]
}

path "vault-authz/metadata/*" {
  capabilities = ["list"]
}

# To manage token pairs through the admin API, in addition to reading them; for
# KV v2 "kong-auth/data/+" and, to list and delete, "kong-auth/metadata/*".
path "kong-auth/*" {
  capabilities = ["create", "update", "read", "delete", "list"]
}
