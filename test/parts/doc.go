// Package parts starts the real programs that vault-authz stands between: an
// Envoy, a Vault or OpenBao, an upstream that tells what reached it, a proxy
// that makes Vault slow, and vault-authz itself. The end-to-end tests and the
// demo share it.
//
// Everything listens on loopback, on ports that the system picks unless one is
// asked for. Each program runs in a process group of its own and is killed with
// it. Nothing here depends on the testing package.
package parts
