// Package cli is the command line: the files of a command begin with its noun (credential.go,
// credentialrehash.go, …), and the others have what the commands share. It
// parses, asks a running service or starts one, and prints; what it starts is wired by
// internal/app.
package cli
