// Package tlsfiles reads the files that TLS is spoken with: a certificate with its key,
// and the authorities that are believed. It keeps up with files that change while they
// are in use, for listeners and for connections to others alike.
//
// It reads by content every [Interval], so it does not matter how a file is replaced: by
// a write, a rename, or the swap of a symbolic link on the way to it, as Kubernetes does.
package tlsfiles
