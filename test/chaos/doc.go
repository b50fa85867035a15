// Command chaos breaks a real Vault, and the network to it, in every way that operators
// know, while requests arrive at a fixed rate. `make chaos` runs it and prints a table in
// Markdown, which docs/explanation/chaos.md contains. It exits with an error if a cell is
// not as it must be.
//
// A [front] is between vault-authz and Vault. It counts the requests to Vault, so that no
// figure depends on vault-authz, and breaks the network. Requests are sent when they are
// due, whatever the outcome of earlier ones (an open loop), and their latency counts from
// then: a service that stalls does not get fewer requests.
//
// With -cluster it uses three nodes of OpenBao instead, with links between them that can
// be cut and delayed, and replicas that prefer different nodes. It measures how long a
// revocation through one replica takes to hold on another, whether races have one winner,
// and the outcomes of requests and admin calls while nodes and links fail.
package main
