// Package tlsfiles reads the files of TLS: a certificate with its key, and the trusted
// authorities. It notices changes of files in use, for listeners and for clients.
//
// It compares the content every [Interval], so it does not matter how a file is replaced:
// by a write, a rename, or a change of a symbolic link in its path, as in Kubernetes.
package tlsfiles
