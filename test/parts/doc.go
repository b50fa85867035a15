// Package parts starts vault-authz and the real programs around it: Envoy, Vault,
// OpenBao and clusters of it, the API server of Kubernetes, an upstream that echoes
// requests, and proxies that break the network. All tests on real programs, the demo
// and the benchmarks use it.
//
// Everything listens on loopback, by default on free ports. Each program runs in a
// process group of its own, and is killed with it. The package does not depend on
// the testing package; partstest does.
package parts
