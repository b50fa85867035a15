// Command vault-authz is an Envoy external authorization service whose
// credentials live in HashiCorp Vault or OpenBao.
//
// build.go is the one place that knows every package and wires them together;
// the other files are one command each.
package main
