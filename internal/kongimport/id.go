package kongimport

import "github.com/google/uuid"

// namespace is the namespace of ids that are derived from names: the UUID of version 5 of
// "vault-authz" in the namespace of DNS names. It and the hashed text never change, so
// that a second run derives the same ids.
const namespace = "b89a69f5-1d68-52c9-ad95-bfb66105c938"

// idOf returns the id of an entity without an id in the file: the UUID of version 5 of
// field=value.
func idOf(field, value string) string {
	return uuid.NewSHA1(uuid.MustParse(namespace), []byte(field+"="+value)).String()
}
