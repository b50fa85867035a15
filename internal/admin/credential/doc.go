// Package credential is what is stored under an access token: the record with its secrets, in
// clear text or hashed, and its place in a KV mount, which is read and written under a lease
// that all replicas share. It knows nothing of HTTP.
package credential
