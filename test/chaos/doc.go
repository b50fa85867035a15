// Command chaos breaks a real Vault, and the way to it, in every manner that its
// operators know, while requests keep coming at a fixed rate. `make chaos` runs it and prints a table in Markdown; docs/explanation/chaos.md keeps
// one. It exits with an error when a cell of the table is not as it must be.
//
// Between vault-authz and Vault stands a [front]. It counts what Vault is asked,
// so that no figure comes from the service that is being judged, and breaks the
// network. Requests leave when they are due, whatever became of those before
// them (an open loop), and their latency counts from when they were due: a
// service that stalls cannot make the figures better by asking for less.
//
// With -cluster there are three nodes of OpenBao instead, with links between them
// that can be cut and delayed, and replicas that ask them in different orders:
// how long a revocation through one takes to hold on another, who wins races, and
// what becomes of requests and admin calls while nodes and links fail.
package main
