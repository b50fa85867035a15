// Package gateways tests the files of deploy/istio and deploy/envoy-gateway: Istio and Envoy
// Gateway make the configuration of a real Envoy from them, which asks a real vault-authz.
// There is no Kubernetes: Istio's xDS server (test/istioxds) and Envoy Gateway read files. What
// a test changes in a shipped file (ports, addresses) is named where it is loaded.
package gateways
